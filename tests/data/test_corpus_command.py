"""`helip corpus` of a user's own pairs, and the stages `corpus` and `evaluation_set` of a study."""

import shutil

import pytest
from archives import pairs, tar_of

from helip.cli import main
from helip.data.corpus import Corpus

STUDY = """
question: q
seeds: [0]
corpora: {small: {kind: generated, size: 20}, photos: {kind: webdataset, path: $HELIP_NOWHERE/pairs},
  album: {kind: folder, path: album}}
models: {}
encoders: {}
pretraining: {}
refinement: {batch_size: 4, learning_rate: 1.0, steps: 1}
mining: {image_encoder: a, text_encoder: b}
evaluation: {cifar10: {kind: generated, task: classification, items: 12}}
"""


@pytest.fixture
def study(project, tmp_path, monkeypatch):
    shutil.copytree(project / "experiments" / "paper", tmp_path / "experiments" / "paper")
    (tmp_path / "experiments" / "studies").mkdir()
    (tmp_path / "experiments" / "studies" / "tiny.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HELIP_RESULTS", raising=False)
    monkeypatch.delenv("HELIP_NOWHERE", raising=False)
    tar_of(tmp_path / "x.tar", pairs(1))
    return tmp_path


def test_a_studys_corpus_and_evaluation_set(study):
    assert main(["run", "tiny", "corpus", "small"]) == 0
    corpus = Corpus.open(study / "results" / "tiny" / "corpora" / "small")
    assert len(corpus) == 20
    assert corpus.manifest["inputs"].keys() == {"corpus_digest"}
    assert main(["run", "tiny", "evaluation_set", "cifar10"]) == 0
    assert (study / "results" / "tiny" / "evaluation" / "cifar10" / "evaluation.json").exists()


def test_a_studys_folder_of_images_says_what_came_of_it(study, capsys):
    for name, data in pairs(2):
        (study / "album" / "2025").mkdir(parents=True, exist_ok=True)
        (study / "album" / "2025" / name).write_bytes(data)
    assert main(["run", "tiny", "corpus", "album"]) == 0
    assert "read as: captions lines, format folder" in capsys.readouterr().out
    corpus = Corpus.open(study / "results" / "tiny" / "corpora" / "album")
    assert [corpus.caption(i) for i in range(len(corpus))] == ["caption 0", "caption 1"]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("run", "tiny", "corpus", "large"), "corpora has no 'large'; it has album, photos, small"),
        (("run", "tiny", "corpus", "photos"), "$HELIP_NOWHERE is not set"),
        (("run", "huge", "corpus", "small"), "there is no study 'huge'"),
        (("run", "tiny", "evaluation_set", "imagenet"), "evaluation has no 'imagenet'"),
        (("corpus", "--out", "y"), "--data is missing: the data"),
        (("corpus", "--data", "x"), "--out is missing: the corpus folder to make"),
        (("corpus", "--shards", "x", "--out", "y"), "--shards is no longer an option; write --data PATH"),
        (
            ("corpus", "--data", "x.tar", "--out", "y", "--max-quarantined", "2"),
            "--max-quarantined: Input should be less than or equal to 1",
        ),
        (
            ("corpus", "--data", "x.tar", "--out", "y", "--image-column", "i"),
            "--image-column: is no option of WebDataset shards, which 'x.tar'",
        ),
        (("corpus", "--data", "x", "--out", "y"), "x: is not there; put it there or correct the path 'x'"),
    ],
)
def test_wrong_words_get_one_sentence(study, argv, sentence, capsys):
    assert main(list(argv)) == 2
    assert sentence in capsys.readouterr().err
    assert not (study / "results").exists() or not list((study / "results").rglob("manifest.json"))


def test_a_users_own_shards(study):
    tar_of(study / "mine" / "0.tar", pairs(3))
    assert main(["corpus", "--data", "mine", "--out", "out", "--published-size", "6"]) == 0
    corpus = Corpus.open(study / "out")
    assert len(corpus) == 3
    assert corpus.manifest["recovered_share"] == 0.5
