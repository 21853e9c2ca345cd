"""Counts for every set and corpus: all sets are compared at once, and each must get its own matches back."""

import csv
import io

import numpy as np
import pytest
from archives import tar_of
from PIL import ExifTags, Image

from helip.contamination import FINGERPRINT, fingerprint, report
from helip.data.images import decode
from helip.evaluation.sets import EvaluationSet, of_folder


def test_every_set_gets_its_own_matches(tmp_path, monkeypatch):
    hashes = np.random.default_rng(0).integers(0, 2**64, (20, 2), np.uint64)
    known = np.array([tuple(row) for row in hashes], FINGERPRINT)
    sets = {"one": known[:4], "empty": known[:0], "two": known[[9, 2, 9]]}
    corpora = {"a": known[[1, 2, 2]], "b": known[9:12]}
    monkeypatch.setattr(report, "of_set", sets.get)
    monkeypatch.setattr(report, "_of_corpus", lambda corpus, folder, manifest: corpora[corpus])
    evaluation, files = {name: name for name in sets}, dict.fromkeys(corpora, (tmp_path, tmp_path / "manifest.json"))
    counts = report.contamination(evaluation, files, {"digest": "d"}, tmp_path / "c.json", tmp_path / "c.csv")
    assert [(c["set"], c["corpus"], c["items"], c["found"], c["samples"], c["share"]) for c in counts] == [
        ("one", "a", 4, 2, 3, 0.5), ("one", "b", 4, 0, 0, 0.0), ("empty", "a", 0, 0, 0, 0.0), ("empty", "b", 0, 0, 0, 0.0),
        ("two", "a", 3, 1, 2, 1 / 3), ("two", "b", 3, 2, 1, 2 / 3),
    ]  # fmt: skip
    rows = list(csv.reader((tmp_path / "c.csv").read_text().splitlines()))
    assert rows[1:] == [
        row.split() for row in ("one 1 a 0 0", "one 2 a 1 0", "one 2 a 2 0", "two 1 a 1 0", "two 1 a 2 0", "two 0 b 0 0", "two 2 b 0 0")
    ]


def saved(kind: str, pixels: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def images():
    """A JPEG with an orientation, a PNG of 16 bits, one with transparency, and two plain ones."""
    rng, exif = np.random.default_rng(0), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    jpeg = saved("JPEG", rng.integers(0, 256, (80, 60, 3), np.uint8), exif=exif)
    plain = [saved("PNG", rng.integers(0, 256, (80, 60, 3), np.uint8)) for _ in range(2)]
    deep, clear = rng.integers(5000, 60000, (80, 60), np.uint16), rng.integers(0, 256, (80, 60, 4), np.uint8)
    return [jpeg, saved("PNG", deep), saved("PNG", clear), *plain]


def wds(root, images, extension="png"):
    (root / "test").mkdir(parents=True)
    (root / "dataset_type.txt").write_text("retrieval\n")
    (root / "test/nshards.txt").write_text("2\n")
    for shard, part in enumerate((images[:1], images[1:])):
        files = [(f"{i}.{end}", data) for i, image in enumerate(part) for end, data in ((extension, image), ("txt", b"a caption"))]
        tar_of(root / f"test/{shard}.tar", files)
    return of_folder(root)


def test_a_wds_set_is_seen_as_training_sees_it(tmp_path, images):
    assert report.of_set(wds(tmp_path, images)).tolist() == [fingerprint(decode(data)) for data in images]


def test_another_set_is_seen_as_training_sees_it(tmp_path, images, monkeypatch):
    monkeypatch.setattr(EvaluationSet, "open", lambda *_: [(Image.open(io.BytesIO(data)), 0) for data in images])
    own = EvaluationSet("own", "classification", "own", tmp_path)
    assert report.of_set(own).tolist() == [fingerprint(decode(data)) for data in images]


def test_an_item_that_training_refuses_is_still_hashed(tmp_path, images):
    frames = [Image.new("RGB", (80, 60), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    hashes = report.of_set(wds(tmp_path, [out.getvalue(), images[3]], "webp"))
    assert hashes.tolist() == [fingerprint(Image.open(out)), fingerprint(decode(images[3]))]
