"""What the audit says of pair sets whose answers are known."""

import numpy as np

from helip.config import MiningSpec
from helip.mining import PairSet, audit
from helip.synthetic.truth import Truth


def pair_set(lists: list[list[int]], noise: list[int] = ()) -> PairSet:
    ids = np.int32([j for one in lists for j in one])
    offsets, flags = np.cumsum([0, *map(len, lists)]), np.zeros(len(lists), bool)
    flags[list(noise)] = True
    return PairSet(ids, np.linspace(1, 0.5, len(ids), dtype=np.float32), offsets, flags, MiningSpec(k=3), len(lists))


def turned(*degrees: float) -> np.ndarray:
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 1).astype(np.float32)


def test_lists_of_any_length_by_hand():
    """Five samples on a circle, cos 10 degrees = 0.985. Entries (0, 1), (0, 3), (0, 2), (1, 0), (3, 4): only (0, 1), (1, 0) are nearly the
    same, 2 of 5. 1 is never repeated: in the list of 0, 2 is nearly 3, so 1 of 5 entries repeats another."""
    pairs = pair_set([[1, 3, 2], [0], [], [4], []], noise=[2, 4])
    report = audit.audit(pairs, turned(0, 10, 60, 65, 150))
    assert report["noise_share"] == 0.4
    assert report["hard_pairs"] == 5
    assert report["sampled_targets"] == 3
    assert report["image_nearly_the_same"] == 0.4
    assert report["image_repeats_in_list"] == 0.2
    assert report["times_chosen"]["most"] == 1
    assert report["mutual_pairs"] == 0.4
    assert "text_nearly_the_same" not in report


def test_near_duplicates_by_hand(monkeypatch):
    """Cosines to the nearest other sample: 0.985 for 0 and 1, 0.996 for 2 and 3, 0.087 for 4. Of any norm, and in blocks of any size."""
    features = turned(0, 10, 60, 65, 150) * np.float32([[1], [2], [0.5], [1], [7]])
    expected = {"sampled": 5, "> 0.9": 0.8, "> 0.95": 0.8, "> 0.98": 0.8, "> 0.995": 0.4}
    assert audit.near_duplicates(features) == expected
    monkeypatch.setattr(audit, "BLOCK", 2)
    assert audit.near_duplicates(features) == expected
    assert audit.near_duplicates(features[:1]) == {"sampled": 1, "> 0.9": 0, "> 0.95": 0, "> 0.98": 0, "> 0.995": 0}


def test_against_the_truth_by_hand():
    """Captions name all of two attributes. 0 and 1 are the same scene: the pair (0, 1) is a false negative, (0, 2) is not."""
    scenes = np.int8([[0, 0], [0, 0], [0, 1], [1, 1]])
    truth = Truth(np.int32([0, 0, 1, 2]), scenes, scenes, np.ones((4, 2), bool), np.array([False, False, True, True]))
    report = audit.audit(pair_set([[1, 2], [0], [], []], noise=[2]), truth=truth)
    assert report["hard_pairs_false_negative"] == report["hard_pairs_same_concept"] == 2 / 3
    assert report["hard_pairs_attributes_shared"] == 5 / 3
    assert report["noise_precision"] == 1
    assert report["noise_recall"] == report["mismatched_share"] == 0.5


def test_a_set_without_any_hard_pair():
    report = audit.audit(pair_set([[], []], noise=[0, 1]), turned(0, 90), turned(0, 90))
    assert report["noise_share"] == 1
    assert report["image_near_duplicates"]["> 0.9"] == 0
    assert all(isinstance(line, str) for line in audit.lines(report))
