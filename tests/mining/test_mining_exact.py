"""Every method against a double loop in float64 that a reader can check by eye."""

import numpy as np
import pytest
from slow_mining import gaps, slow_pairs, world

from helip.config import MiningSpec
from helip.mining import mine


def assert_same(mined, image, text, spec):
    """The same sets, except targets where float32 cannot tell (a cosine at tau, or two scores about the k-th place)."""
    expected = slow_pairs(image, text, spec)
    unclear = gaps(image, text, spec) < 1e-6
    assert unclear.mean() < 0.05
    for i in np.flatnonzero(~unclear):
        np.testing.assert_array_equal(mined.hard(i), expected[i][0], err_msg=f"target {i}")
        np.testing.assert_allclose(mined.scores(i), expected[i][1], atol=5e-7)
        assert mined.noise[i] == (len(expected[i][0]) == 0)


SPECS = [
    MiningSpec(k=5),
    MiningSpec(k=1, tau_image=0.3, tau_text=0.6),
    MiningSpec(k=5, max_similarity=0.8),
    MiningSpec(k=40, tau_image=None, tau_text=None, max_similarity=0.98),
    MiningSpec(k=7, tau_image=-0.2, tau_text=-0.1),
    MiningSpec(k=5, method="image"),
    MiningSpec(k=5, method="text", tau_text=0.2),
    MiningSpec(k=4, method="fast_hpm", pool=60, pool_block=40, seed=3),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.method + str(s.k))
@pytest.mark.parametrize("memory", ["1GiB", "30MiB"])
def test_equals_the_slow_twin(spec, memory):
    image, text = world(150, seed=1)
    assert_same(mine(image, text, spec, memory=memory), image, text, spec)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_features_of_either_width_and_any_norm(dtype):
    image, text = (x.astype(dtype) for x in world(150, seed=2))
    spec = MiningSpec(k=3)
    assert_same(mine(image * dtype(4), text / dtype(2), spec), image, text, spec)


def test_by_hand():
    """Four pairs on a circle. Image angles 0, 30, 40, 180 degrees, text angles 0, 20, 30, 180.
    Target 0: cos 30 cos 20 = 0.8138 to 1, cos 40 cos 30 = 0.6634 to 2, nothing to 3: H_0 = (1, 2). Target 3 faces away: noise."""
    turn = lambda degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 1).astype(np.float32)  # noqa: E731
    mined = mine(turn([0, 30, 40, 180]), turn([0, 20, 30, 180]), MiningSpec(k=2))
    assert [mined.hard(i).tolist() for i in range(4)] == [[1, 2], [2, 0], [1, 0], []]
    np.testing.assert_allclose(mined.scores(0), [0.81380, 0.66341], atol=1e-5)
    assert mined.noise.tolist() == [False, False, False, True]


def test_ties_go_to_the_smaller_id():
    same = np.tile(np.float32([[3, 4]]), (6, 1))
    mined = mine(same, same, MiningSpec(k=3))
    assert [mined.hard(i).tolist() for i in range(6)] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


def test_strictly_above_tau():
    image = np.float32([[2, 0, 0, 0], [1, 1, 1, 1]])  # of norm 2: their cosine is 0.5 exactly
    noise = lambda tau: mine(image, None, MiningSpec(k=1, method="image", tau_image=tau)).noise.tolist()  # noqa: E731
    assert noise(0.5) == [True, True]
    assert noise(0.49) == [False, False]


def test_fast_hpm_with_the_whole_corpus_is_hpm():
    image, text = world(200, seed=4)
    whole = mine(image, text, MiningSpec(k=4))
    for pool in (199, 200, 5000):
        fast = mine(image, text, MiningSpec(k=4, method="fast_hpm", pool=pool, pool_block=64))
        np.testing.assert_array_equal(fast.ids, whole.ids)
        np.testing.assert_array_equal(fast.scores_flat, whole.scores_flat)


def test_every_fast_hpm_target_has_exactly_its_pool():
    """With no threshold and k = C, H_i is the pool: C different candidates, never i, the same for targets outside the pool."""
    image, text = (np.abs(x) for x in world(90, seed=5))
    mined = mine(image, text, MiningSpec(method="fast_hpm", k=20, pool=20, pool_block=30, tau_image=None, tau_text=None))
    pools = [frozenset(mined.hard(i).tolist()) for i in range(90)]
    assert all(len(p) == 20 and i not in p for i, p in enumerate(pools))
    assert len(set(pools[:30])) > 1
    assert max(pools[:30].count(p) for p in set(pools[:30])) >= 10  # shared by all targets that the pool does not hold
    assert pools[0] != pools[40] != pools[80]
