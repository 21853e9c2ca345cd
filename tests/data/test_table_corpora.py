"""Tables of image paths and captions, packed into shards: same bytes, bad rows left out with their reason."""

import csv

import pandas
import pytest
import webdataset
from archives import encoded, noisy

from helip.config import TableCorpus
from helip.data.build import build_corpus
from helip.errors import HelipError


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(5):
        (tmp_path / "images" / f"{i}.dat").write_bytes(noisy("JPEG" if i % 2 else "PNG", seed=i))  # names say nothing about the format
    return [{"image": f"images/{i}.dat", "caption": f"one, two \u201c{i}\u201d"} for i in range(5)]


def _write(path, rows):
    match path.suffix:
        case ".csv":
            pandas.DataFrame(rows).to_csv(path, index=False)
        case ".tsv":
            pandas.DataFrame(rows).to_csv(path, index=False, sep="\t")
        case ".parquet":
            pandas.DataFrame(rows).to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_every_kind_of_table_becomes_the_same_corpus(tmp_path, rows, kind):
    table = _write(tmp_path / f"t.{kind}", rows)
    corpus = build_corpus(TableCorpus(path=str(table), samples_per_shard=2), tmp_path / "corpus")
    assert [corpus.caption(i) for i in range(5)] == [r["caption"] for r in rows]
    assert [corpus.image_bytes(i) for i in range(5)] == [(tmp_path / r["image"]).read_bytes() for r in rows]
    assert [s["samples"] for s in corpus.manifest["shards"]] == [2, 2, 1]
    shards = [str(tmp_path / "corpus" / s["path"]) for s in corpus.manifest["shards"]]
    assert [set(s) - {"__key__", "__url__", "__local_path__"} for s in webdataset.WebDataset(shards, shardshuffle=False)][:2] == [
        {"png", "txt"},
        {"jpg", "txt"},
    ]


def test_absolute_paths_and_other_columns(tmp_path, rows):
    own = [{"file": str(tmp_path / r["image"]), "text": r["caption"], "more": 1} for r in rows]
    table = _write(tmp_path / "t.csv", own)
    corpus = build_corpus(TableCorpus(path=str(table), image_column="file", caption_column="text"), tmp_path / "corpus")
    assert len(corpus) == 5


def test_bad_rows_are_left_out_with_their_reason(tmp_path, rows):
    (tmp_path / "images" / "cut.jpg").write_bytes(noisy()[:-300])
    (tmp_path / "images" / "cmyk.jpg").write_bytes(encoded("JPEG", mode="CMYK"))
    images = ("images/none.jpg", "images/cut.jpg", "images/0.dat", "", "images/cmyk.jpg")
    bad = [{"image": i, "caption": c} for i, c in zip(images, ("c", "c", " ", "c", "kept"), strict=True)]
    table = _write(tmp_path / "t.parquet", rows + bad)
    corpus = build_corpus(TableCorpus(path=str(table), max_quarantined=0.5), tmp_path / "corpus")
    assert len(corpus) == 6
    assert corpus.manifest["quarantined"] == {"empty caption": 1, "image file cannot be read": 2, "undecodable image": 1}
    with open(tmp_path / "corpus" / "quarantine.csv", newline="") as f:
        assert [(r["key"], r["reason"]) for r in csv.DictReader(f)][:2] == [
            ("row 5", "image file cannot be read"),
            ("row 6", "undecodable image"),
        ]
    with pytest.raises(HelipError, match=r"4 of 10 samples cannot be used.*max_quarantined 0\.1"):
        build_corpus(TableCorpus(path=str(table), max_quarantined=0.1), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_caption_that_is_not_utf8_is_left_out(tmp_path, rows):
    (tmp_path / "t.csv").write_bytes(b"image,caption\nimages/0.dat,caf\xe9\nimages/1.dat,fine\n")
    corpus = build_corpus(TableCorpus(path=str(tmp_path / "t.csv"), max_quarantined=0.5), tmp_path / "corpus")
    assert corpus.manifest["quarantined"] == {"caption is not UTF-8": 1}
    assert [corpus.caption(i) for i in [0]] == ["fine"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv", b"picture,caption\na,b\n", "has no column 'image'; it has picture, caption: set image_column"),
        ("t.csv", b"", "has no column 'image'; it has none"),
        ("t.parquet", b"junk", "not readable as parquet"),
        ("t.xlsx", b"junk", r"a table is \.csv, \.tsv or \.parquet, not '\.xlsx'"),
        ("t.csv", None, "there is no such table"),
        ("t.csv", b"image,caption\n", "no usable sample"),
    ],
)
def test_a_table_that_cannot_be_read_is_said(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(HelipError, match=sentence):
        build_corpus(TableCorpus(path=str(tmp_path / name)), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
