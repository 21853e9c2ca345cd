"""How good pair sets are: by hand."""

import numpy as np

from helip.config import MiningSpec
from helip.mining import mine
from helip.mining.features import checked
from helip.mining.judging import Detector, by_target, detector, recalled
from helip.mining.pairs import PairSet
from helip.mining.thresholds import target_levels


def _pairs(*lists) -> PairSet:
    sizes = [len(one) for one in lists]
    ids = np.array([i for one in lists for i in one], np.int32)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return PairSet(ids, np.ones(len(ids), np.float32), offsets, np.array(sizes) == 0, MiningSpec(k=2), len(lists))


def test_a_noise_rule_as_a_detector():
    """Of the 4 x 2 comparisons of right and wrong the wrong one is lower in 4, and one is a tie: 4.5 / 8."""
    level, noise = np.array([0.9, 0.5, -np.inf, 0.4, 0.5, 0.3]), np.array([0, 0, 1, 0, 0, 1], bool)
    assert detector(level, noise, np.array([0, 0, 0, 0, 1, 1], bool)) == Detector(4.5 / 8, 0.5, 0.5)
    assert detector(level, noise, np.zeros(6, bool)) == Detector(None, 0.0, None)
    assert detector(level, ~noise & False, np.ones(6, bool)) == Detector(None, None, 0.0)


def test_recall_is_of_targets_that_have_pairs_in_both():
    shares = recalled(_pairs([1, 2], [0], [], [0, 1]), _pairs([1, 3], [0, 2], [0, 1], []))
    np.testing.assert_equal(shares, [0.5, 0.5, np.nan, np.nan])


def test_values_are_averaged_over_the_pairs_of_a_target():
    np.testing.assert_equal(by_target(_pairs([1, 2], [], [0]), np.array([1.0, 0.0, 4.0])), [0.5, np.nan, 4.0])


def test_levels_are_what_outliers_cuts():
    rng = np.random.default_rng(0)
    image, text = (rng.standard_normal((60, 64)).astype(np.float32) + 1 for _ in range(2))
    spec = MiningSpec(k=3, outliers=0.2)
    ids, levels = target_levels([checked("image", image), checked("text", text)], spec)
    noise = mine(image, text, spec, workers=1).noise
    some, fewer = target_levels([checked("image", image), checked("text", text)], spec, every=7)
    assert some.tolist() == list(range(0, 60, 7))
    np.testing.assert_allclose(fewer, levels[np.searchsorted(ids, some)])
    assert sorted(ids) == list(range(60)) and noise.sum() == 12
    assert levels[noise[ids]].max() < levels[~noise[ids]].min()
