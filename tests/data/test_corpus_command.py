"""`helip corpus` and `helip evaluation-set`, for a study and for a user's own pairs."""

import argparse

import pytest
from archives import pairs, tar_of

from helip.cli import corpus as cli
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.stages import How, artefact, make
from helip.study import load

STUDY = """
question: q
seeds: [0]
corpora: {small: {kind: generated, size: 20}, photos: {kind: webdataset, path: $HELIP_NOWHERE/pairs}}
models: {}
encoders: {}
pretraining: {}
refinement: {batch_size: 4, learning_rate: 1.0, steps: 1}
mining: {image_encoder: a, text_encoder: b}
evaluation: {cifar10: {kind: generated, task: classification, items: 12}}
"""


def helip(*argv):
    if argv[0] == "run":
        return make(artefact(load(argv[1]), argv[2], argv[3:]), How())
    parser = argparse.ArgumentParser()
    run = cli.add(argv[0], parser)
    return run(parser.parse_args(argv[1:], argparse.Namespace(command=argv[0])))


@pytest.fixture
def study(tmp_path, monkeypatch):
    (tmp_path / "experiments" / "studies").mkdir(parents=True)
    (tmp_path / "experiments" / "paper").mkdir()
    (tmp_path / "experiments" / "studies" / "tiny.yaml").write_text(STUDY)
    (tmp_path / "experiments" / "paper" / "runs.yaml").write_text(
        "names: {corpora: {}, models: {}, objectives: {}, encoders: {}}\nruns: {}\n"
    )
    for name in ("tables", "claims"):
        (tmp_path / "experiments" / "paper" / f"{name}.yaml").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HELIP_RESULTS", raising=False)
    monkeypatch.delenv("HELIP_NOWHERE", raising=False)
    return tmp_path


def test_a_studys_corpus_and_evaluation_set(study):
    helip("run", "tiny", "corpus", "small")
    corpus = Corpus.open(study / "results" / "tiny" / "corpora" / "small")
    assert len(corpus) == 20
    assert corpus.manifest["inputs"].keys() == {"corpus_digest"}
    helip("run", "tiny", "evaluation_set", "cifar10")
    assert (study / "results" / "tiny" / "evaluation" / "cifar10" / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("run", "tiny", "corpus", "large"), "corpora has no 'large'; it has photos, small"),
        (("run", "tiny", "corpus", "photos"), r"\$HELIP_NOWHERE is not set"),
        (("run", "tiny", "corpus"), "helip run tiny corpus CORPUS"),
        (("run", "huge", "corpus", "small"), "there is no study 'huge'"),
        (("run", "tiny", "evaluation_set", "imagenet"), "evaluation has no 'imagenet'"),
        (("corpus",), "give --study STUDY NAME, or --shards"),
        (("corpus", "--shards", "x"), "give --study STUDY NAME, or --shards"),
        (("corpus", "--shards", "x", "--out", "y", "--max-quarantined", "2"), "must be a share"),
        (("corpus", "--shards", "x", "--out", "y"), r"holds no \.tar shards"),
    ],
)
def test_wrong_words_get_one_sentence(study, argv, sentence):
    with pytest.raises(HelipError, match=sentence):
        helip(*argv)
    assert not (study / "results").exists() or not list((study / "results").rglob("manifest.json"))


def test_a_users_own_shards(study):
    tar_of(study / "mine" / "0.tar", pairs(3))
    helip("corpus", "--shards", "mine", "--out", "out", "--published-size", "6")
    corpus = Corpus.open(study / "out")
    assert len(corpus) == 3
    assert corpus.manifest["recovered_share"] == 0.5
