import numpy as np
import pytest

from helip.reporting.statistics import paired_bootstrap


def test_equal_methods_have_an_interval_of_nothing():
    hits = np.random.default_rng(0).random((3, 200)) < 0.4
    assert paired_bootstrap([hits], [hits]) == (0.0, 0.0)


def test_a_difference_in_every_item_and_seed_has_no_width():
    assert paired_bootstrap([np.ones((2, 30), bool)], [np.zeros((2, 30), bool)]) == (100.0, 100.0)


def test_the_interval_over_items_is_that_of_a_binomial_share():
    """One seed, 1,000 items, 300 of them won: standard error sqrt(.3 x .7 / 1000) = 1.449 points, interval 30 -+ 1.96 x 1.449."""
    wins = np.zeros((1, 1000), bool)
    wins[0, :300] = True
    low, high = paired_bootstrap([wins], [np.zeros_like(wins)], resamples=20_000)
    assert low == pytest.approx(30 - 2.84, abs=0.25)
    assert high == pytest.approx(30 + 2.84, abs=0.25)


def test_seeds_that_disagree_widen_the_interval_though_the_items_agree():
    """Two seeds, one wins everything and one nothing: the mean of two drawn seeds is 0, 50 or 100 with chances 1/4, 1/2, 1/4."""
    ours = np.array([[True] * 50, [False] * 50])
    assert paired_bootstrap([ours], [np.zeros_like(ours)]) == (0.0, 100.0)


def test_pairing_by_item_beats_ignoring_it():
    rng = np.random.default_rng(1)
    hard = rng.random(500) < 0.5
    ours, reference = hard[None] | (rng.random((1, 500)) < 0.05), hard[None]
    paired = paired_bootstrap([ours], [reference])
    shuffled = paired_bootstrap([ours], [rng.permutation(reference[0])[None]])
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 2


def test_the_average_of_sets_weighs_sets_not_items():
    won, lost = np.ones((1, 10), bool), np.zeros((1, 1000), bool)
    low, high = paired_bootstrap([won, lost], [np.zeros_like(won), np.zeros_like(lost)])
    assert (low, high) == (50.0, 50.0)


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(2)
    a, b = rng.random((3, 100)) < 0.5, rng.random((3, 100)) < 0.4
    assert paired_bootstrap([a], [b]) == paired_bootstrap([a], [b])
    assert paired_bootstrap([a], [b]) != paired_bootstrap([a], [b], seed=1)
