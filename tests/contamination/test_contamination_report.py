"""Counts for every set and corpus: all sets are compared at once, and each must get its own matches back."""

import csv

import numpy as np

from helip.contamination import FINGERPRINT, report


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
