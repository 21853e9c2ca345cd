import json

import numpy as np
import pytest
import torch

from helip.evaluation.run import packed
from helip.reporting.metrics import Metrics
from helip.reporting.statistics import chance, chance_over_seeds, holm, paired_bootstrap, paired_draws


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


def test_trainings_that_share_a_start_are_drawn_together():
    """Two starts, two refinements each; one start wins everything. Drawn one by one, half of the draws would mix within a start."""
    ours = np.repeat(np.array([[True] * 40, [False] * 40]), 2, axis=0)
    reference = np.zeros_like(ours)
    together = paired_draws([ours], [reference], clusters=["0", "0", "1", "1"])
    assert set(np.unique(together)) == {0.0, 50.0, 100.0}
    apart = paired_draws([ours], [reference])
    assert {25.0, 75.0} < set(np.unique(apart))


def test_captions_of_an_image_are_one_item(measured):
    """Two images of two captions each, hits 1 0 and 1 1: the items are 0.5 and 1."""
    path = measured.metrics_file("cc3m_clip", "0", "imagenet", "zeroshot")
    said = json.loads(path.read_text())
    said["per_item"]["acc1"] = packed(torch.tensor([True, False, True, True]), together=2)
    path.write_text(json.dumps(said))
    assert Metrics(path).hits("acc1").tolist() == [0.5, 1.0]


def test_items_that_stand_for_several_draw_as_wide_as_they_are_few():
    """100 images, half won with all five captions: the interval is that of 100 items, not of 500."""
    won = np.repeat([[1.0, 0.0]], 50, axis=1)
    low, high = paired_bootstrap([won], [np.zeros_like(won)], resamples=20_000)
    assert (low, high) == (pytest.approx(40, abs=1), pytest.approx(60, abs=1))  # 50 -+ 1.96 x 5


def test_holm_by_hand():
    """Sorted .01 .02 .04 times 3, 2, 1: .03 .04 .04."""
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_student_t_over_seeds_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 3.4641 at 2 degrees of freedom: one-sided p 0.0371."""
    assert chance_over_seeds([1, 2, 3], 0.0) == pytest.approx(0.0371, abs=1e-4)
    assert chance_over_seeds([1, 2, 3], 2.0, above=False) == pytest.approx(0.5)
    assert chance_over_seeds([5.0], 0.0) == 1.0
    assert (chance_over_seeds([2, 2], 0.0), chance_over_seeds([2, 2], 2.0), chance_over_seeds([2, 2], 3.0, above=False)) == (0.0, 1.0, 0.0)


def test_chance_is_the_share_of_resamples_that_disagree():
    draws = np.array([-1.0, 1.0, 2.0, 3.0])
    assert chance(draws, 0.0) == 2 / 5
    assert chance(draws, 2.5, above=False) == 2 / 5
