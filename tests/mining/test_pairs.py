"""Pair sets on disk: what shards say of themselves is kept when they are joined, and broken folders are refused."""

import json

import numpy as np
import pytest

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining import PairSet
from helip.mining.pairs import merge, shard_rows

FACTS = {"inputs": {"image": "i"}, "corpus_digest": "c", "encoders": {"image": "dino"}, "recovered_share": 0.63}


@pytest.fixture
def shards(tmp_path):
    """Five targets of one hard pair each, in shards of two and three."""
    opened = []
    for i, (first, end) in enumerate([shard_rows(5, (0, 2)), shard_rows(5, (1, 2))]):
        ids = ((np.arange(first, end) + 1) % 5).astype(np.int32)
        scores, noise = np.ones(len(ids), np.float32), np.zeros(len(ids), bool)
        one = PairSet(ids, scores, np.arange(len(ids) + 1, dtype=np.int64), noise, MiningSpec(k=1), 5, (i, 2))
        one.save(tmp_path / f"shard{i}", wall_clock_seconds=1.5 + i, **FACTS)
        opened.append(PairSet.open(tmp_path / f"shard{i}"))
    return opened


def test_every_target_is_in_one_shard():
    assert [shard_rows(7, (i, 3)) for i in range(3)] == [(0, 2), (2, 4), (4, 7)]


def test_joined_shards_keep_what_they_know(shards, tmp_path):
    whole = merge(shards[::-1], tmp_path / "whole")
    assert whole.ids.tolist() == [1, 2, 3, 4, 0] and whole.offsets.tolist() == [0, 1, 2, 3, 4, 5]
    assert {name: whole.metadata[name] for name in FACTS} == FACTS
    assert whole.metadata["wall_clock_seconds"] == 4.0  # one after the other
    assert [one["wall_clock_seconds"] for one in whole.metadata["mined_by"]] == [1.5, 2.5]


def test_shards_of_other_features_are_of_another_job(shards, tmp_path):
    other = shards[1].metadata | {"inputs": {"image": "another"}}
    (tmp_path / "shard1" / "pairs.json").write_text(json.dumps(other))
    with pytest.raises(HelipError, match="differ in inputs: they are of different jobs"):
        merge([shards[0], PairSet.open(tmp_path / "shard1")], tmp_path / "whole")


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("ids", np.zeros(3, np.int32)),  # two entries, and offsets that end at 2
        ("scores", np.zeros(3, np.float32)),
        ("offsets", np.array([0, 1], np.int64)),
        ("offsets", np.array([0, 1, 3], np.int64)),
    ],
)
def test_arrays_of_different_sets_are_refused(shards, tmp_path, file, values):
    np.save(tmp_path / "shard0" / f"{file}.npy", values)
    if file == "ids":
        np.save(tmp_path / "shard0" / "scores.npy", np.zeros(3, np.float32))
    with pytest.raises(HelipError, match=r"shard0: its arrays and pairs\.json do not belong together; mine again"):
        PairSet.open(tmp_path / "shard0")


def test_a_json_of_another_set_is_refused(shards, tmp_path):
    (tmp_path / "shard0" / "pairs.json").write_text((tmp_path / "shard1" / "pairs.json").read_text())  # of three targets
    with pytest.raises(HelipError, match="do not belong together"):
        PairSet.open(tmp_path / "shard0")
