"""The bootstrap by a matrix of counts, beside the plain one that draws the items of each comparison anew."""

import numpy as np
import pytest

from helip.reporting import bootstrap
from helip.reporting.bootstrap import _generator, _training_draws
from helip.reporting.statistics import Paired, gain, interval

NAMES = tuple("abcd")


def plainly(p: Paired, resamples: int) -> np.ndarray:
    """[resamples] of the mean over one column, in points: the items of each kind are drawn from the set's own stream."""
    ((name, d_Sn),) = p.columns
    kinds_SK, count_K = np.unique(d_Sn, axis=1, return_counts=True)
    n = d_Sn.shape[1]
    drawn_RK = _generator("items", name, str(n)).multinomial(n, count_K / n, size=resamples)
    return 100 * ((_training_draws(p.start, p.clusters, resamples) @ kinds_SK) * drawn_RK).sum(1) / n


def differences(n: int, seed: int = 0) -> np.ndarray:
    """[4, n] in fifths, as of images of five captions; all items differ, and stand as np.unique has them."""
    fifths = np.random.default_rng(seed).integers(-5, 6, (4, 3 * n)) / np.float32(5)
    return np.unique(fifths.astype(np.float32), axis=1)[:, :n]


def test_counts_give_what_drawing_items_anew_gives():
    p = Paired((("flickr30k", differences(300)),), NAMES)
    assert differences(300).shape == (4, 300)
    np.testing.assert_allclose(gain([p], 500).draws, plainly(p, 500), atol=1e-5)


def test_items_in_another_order_keep_the_interval_s_width():
    """Other items, not other trainings, are drawn: the interval moves by no more than chance."""
    p = Paired((("flickr30k", differences(300)),), NAMES)
    shuffled = Paired((("flickr30k", differences(300)[:, np.random.default_rng(1).permutation(300)]),), NAMES)
    one, other = interval(gain([p]).draws), interval(gain([shuffled]).draws)
    assert one != other
    assert one.high - one.low == pytest.approx(other.high - other.low, rel=0.05)


def test_a_set_s_counts_are_drawn_once_for_all_comparisons(monkeypatch):
    drawn, plain = [], bootstrap._drawn_counts
    monkeypatch.setattr(bootstrap, "_drawn_counts", lambda *key: drawn.append(key) or plain(*key))
    bootstrap._cached_counts.cache_clear()
    rows = [Paired((("flickr30k", differences(300, seed)),), NAMES) for seed in range(3)]
    before = [gain([p], 200).draws for p in rows]
    assert drawn == [("flickr30k", 300, 200)]
    monkeypatch.setattr(bootstrap, "CACHED", 0)  # a set too large to keep: drawn again, and the same
    assert all(np.array_equal(gain([p], 200).draws, draws) for p, draws in zip(rows, before, strict=True))
    assert len(drawn) == 4


def test_the_rows_of_a_wide_table_draw_each_set_once(monkeypatch):
    """Twelve sets and their retrieval tasks are looked at in one order by each row: a smaller cache would always have dropped the next."""
    drawn, plain = [], bootstrap._drawn_counts
    monkeypatch.setattr(bootstrap, "_drawn_counts", lambda *key: drawn.append(key[0]) or plain(*key))
    bootstrap._cached_counts.cache_clear()
    sets = [f"set{n}" for n in range(14)]
    for row in range(2):
        gain([Paired(tuple((name, differences(300, 20 * row + n)) for n, name in enumerate(sets)), NAMES)], 50)
    assert drawn == sets
