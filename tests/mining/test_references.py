"""Pairs that no miner made: random ones, and the true ones of a generated corpus."""

import numpy as np
import pytest

from helip.cli import main
from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining import PairSet, mine
from helip.mining.pairs import merge
from helip.mining.references import random_pairs, true_pairs
from helip.synthetic.truth import Truth

RANDOM, TRUE = MiningSpec(method="random", k=4), MiningSpec(method="truth", k=4)


def assert_a_reference(mined: PairSet, size: int):
    assert len(mined) == mined.corpus_size == size
    assert not mined.noise.any()
    assert mined.offsets[-1] == len(mined.ids) == len(mined.scores_flat)
    for i in range(size):
        order = list(zip(-mined.scores(i), mined.hard(i), strict=True))
        assert order == sorted(order)
        assert i not in mined.hard(i)
        assert len(set(mined.hard(i).tolist())) == len(mined.hard(i))


def test_random_pairs_are_k_others_and_the_same_again():
    mined = random_pairs(50, RANDOM)
    assert_a_reference(mined, 50)
    assert (np.diff(mined.offsets) == 4).all()
    np.testing.assert_array_equal(mined.ids, random_pairs(50, RANDOM).ids)
    assert (mined.ids != random_pairs(50, MiningSpec(method="random", k=4, seed=1)).ids).any()


def test_random_pairs_are_uniform():
    """10 of 11 others in 2,000 corpora: each is left out of 200 lists on average, and within 6 standard deviations (13.5) of that."""
    times = np.zeros(12, int)
    for seed in range(2000):
        times += np.bincount(random_pairs(12, MiningSpec(method="random", k=10, seed=seed), (3, 12)).ids, minlength=12)
    assert times[3] == 0
    assert (np.abs(2000 - np.delete(times, 3) - 2000 / 11) < 81).all()


def test_every_other_pair_when_k_is_all():
    mined = random_pairs(6, MiningSpec(method="random", k=5))
    assert [mined.hard(i).tolist() for i in range(6)] == [[j for j in range(6) if j != i] for i in range(6)]
    with pytest.raises(HelipError, match="k = 6: a target has only 5 candidates"):
        random_pairs(6, MiningSpec(method="random", k=6))


def toy_truth(size: int = 300, seed: int = 0) -> Truth:
    """Scenes of 5 attributes with two values each: many pairs are at most two apart. Captions name three of them."""
    rng = np.random.default_rng(seed)
    attributes = rng.integers(0, 2, (size, 5)).astype(np.int8)
    named = np.argsort(rng.random((size, 5)), 1) < 3
    captions, wrong = attributes.copy(), rng.random(size) < 0.1
    captions[wrong] = rng.integers(0, 2, (wrong.sum(), 5))
    return Truth(np.zeros(size, np.int32), attributes, captions, named, wrong)


def test_true_pairs_by_hand():
    """Four scenes of three attributes, captions that name all: 0 and 1 differ in one, 2 in three from 0, 3 is 0 again: its caption is
    true of 0, so they are no hard pair of each other."""
    scenes = np.int8([[0, 0, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])
    truth = Truth(np.zeros(4, np.int32), scenes, scenes, np.ones((4, 3), bool), np.zeros(4, bool))
    mined = true_pairs(truth, TRUE)
    assert [mined.hard(i).tolist() for i in range(4)] == [[1], [0, 3, 2], [1], [1]]
    np.testing.assert_allclose(mined.scores(1), [2 / 3, 2 / 3, 1 / 3], rtol=1e-6)
    assert not mined.noise.any()


def test_true_pairs_are_all_there_are_up_to_k():
    truth, every = toy_truth(), np.arange(300)
    for k in (4, 200):
        mined = true_pairs(truth, MiningSpec(method="truth", k=k))
        assert_a_reference(mined, 300)
        for i in range(300):
            right = set(every[truth.truly_hard(i, every) & (every != i)].tolist())
            assert set(mined.hard(i).tolist()) <= right
            assert len(mined.hard(i)) == min(k, len(right))
    assert (true_pairs(truth, TRUE).ids != true_pairs(truth, MiningSpec(method="truth", k=4, seed=1)).ids).any()


@pytest.mark.parametrize("make", [lambda shard: random_pairs(300, RANDOM, shard), lambda shard: true_pairs(toy_truth(), TRUE, shard)])
def test_shards_are_the_whole(make, tmp_path):
    for i in range(3):
        make((i, 3)).save(tmp_path / str(i))
    merged, whole = merge([PairSet.open(tmp_path / str(i)) for i in range(3)], tmp_path / "merged"), make((0, 1))
    for name in ("ids", "scores_flat", "offsets", "noise"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))


def test_the_command_draws_reference_pairs_or_refuses(tmp_path, capsys):
    from helip.config import GeneratedCorpus
    from helip.data.build import build_corpus

    build_corpus(GeneratedCorpus(size=40, samples_per_shard=40), tmp_path / "corpus")
    ask = ["mine", "--corpus", str(tmp_path / "corpus"), "--k", "3", "--method"]
    for method in ("random", "truth"):
        assert main([*ask, method, "--out", str(tmp_path / method)]) == 0
        assert (tmp_path / method / "audit.html").exists()
        assert PairSet.open(tmp_path / method).spec.method == method
    (tmp_path / "corpus" / "truth.npz").unlink()
    assert main([*ask, "truth", "--out", str(tmp_path / "none")]) == 2
    assert "method 'truth' needs a generated corpus" in capsys.readouterr().err
    assert main(["mine", "--method", "random", "--out", str(tmp_path / "none")]) == 2
    assert "give --corpus: method 'random' draws from it" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    with pytest.raises(HelipError, match="'random' reads no features"):
        mine(None, None, RANDOM)
