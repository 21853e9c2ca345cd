"""The sampler: a pure function of (seed, step), no pair twice, always the declared batch."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import ToyPairs

from helip.errors import HelipError
from helip.training.sampler import Sampler, choose, held_out_mask, seed_count


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, f), getattr(b, f)) for f in ("ids", "seeds", "hard", "sample_seeds", "captions"))


def test_a_batch_by_hand():
    sampler = Sampler(40, batch_size=12, seed=3, pairs=ToyPairs(40), p=2)
    batch = sampler(7)
    assert seed_count(12, 1.0, 2) == 4  # 4 base samples, 4 x 2 hard pairs
    assert len(batch.ids) == 12
    assert batch.seeds.tolist() == [0, 1, 2, 3]
    for seed, hard in zip(batch.seeds, batch.hard, strict=True):
        offsets = (batch.ids[hard] - batch.ids[seed]) % 40
        assert set(offsets.tolist()) <= {1, 2, 3, 4, 5}
        assert len(set(offsets.tolist())) == 2


@given(
    size=st.integers(8, 60), batch_size=st.integers(2, 24), p=st.integers(1, 4), share=st.floats(0, 1), k=st.integers(0, 6),
    step=st.integers(0, 500), seed=st.integers(0, 3), arm=st.sampled_from(["control", "cleaned", "helip"]), noise=st.integers(0, 5),
    role=st.sampled_from(["batch", "negatives"]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_batch_is_whole_and_without_repeats(size, batch_size, p, share, k, step, seed, arm, noise, role):
    pairs = ToyPairs(size, k, noise=range(noise))
    beside = arm == "helip" and role == "negatives"
    if batch_size > size - (noise if arm != "control" else 0):
        with pytest.raises(HelipError, match="larger than"):
            Sampler(size, batch_size, seed, pairs, arm, share, p, role=role)
        return
    sampler = Sampler(size, batch_size, seed, pairs, arm, share, p, role=role)
    batch = sampler(step)
    assert len(batch.ids) == len(set(batch.ids.tolist())) == len(batch.sample_seeds) == batch_size
    assert batch.hard.shape == (len(batch.seeds), p)
    assert len(batch.seeds) <= seed_count(batch_size, share, 0 if beside else p)
    further = batch.captions[batch.captions >= 0].tolist()
    assert batch.captions.shape == (batch_size, p if beside else 0)
    assert len(set(further)) == len(further) and not set(further) & set(batch.ids.tolist())
    columns = np.array([*batch.ids, *further])
    if arm != "control":
        assert not pairs.noise[columns].any()
    if arm != "helip":
        assert len(batch.seeds) == 0
    for s, hard in zip(batch.seeds, batch.hard, strict=True):
        assert len(set(hard.tolist())) == p
        assert set(columns[hard].tolist()) <= set(pairs.hard(batch.ids[s]).tolist())
    assert same(batch, Sampler(size, batch_size, seed, pairs, arm, share, p, role=role)(step))  # of (seed, step) alone


@pytest.mark.parametrize("share", [0.15, np.float32(0.15), np.float64(0.15)])
def test_a_share_that_fits_exactly_is_not_rounded_down(share):
    assert seed_count(128, share, 4) == 12  # 80 base samples, 0.15 of them 12, 12 x 4 hard pairs
    assert seed_count(100, 0.29, 0) == 29


@given(batch_size=st.integers(2, 4096), hundredths=st.integers(0, 100), p=st.integers(0, 8))
def test_anchors_are_the_largest_share_that_fits(batch_size, hundredths, p):
    # S = f (B - S p): the largest S with 100 S <= 100 f (B - S p)
    count = seed_count(batch_size, hundredths / 100, p)
    assert 100 * count <= hundredths * (batch_size - count * p)
    assert 100 * (count + 1) > hundredths * (batch_size - (count + 1) * p)


def test_order_of_asking_changes_nothing():
    sampler, other = (Sampler(50, 8, 0, ToyPairs(50)) for _ in range(2))
    forwards = [sampler(s) for s in range(30)]
    backwards = [other(s) for s in reversed(range(30))][::-1]
    assert all(map(same, forwards, backwards))


def test_an_epoch_of_base_samples_sees_every_pair_once():
    sampler = Sampler(96, 16, seed=1, arm="control")
    assert sampler.steps_per_epoch == 6
    epochs = [np.concatenate([sampler(e * 6 + s).ids for s in range(6)]) for e in range(2)]
    assert all(sorted(ids.tolist()) == list(range(96)) for ids in epochs)
    assert not np.array_equal(*epochs)


def test_seeds_and_arms_differ_but_never_in_size():
    pairs = ToyPairs(64, noise=(0, 1))
    batches = [Sampler(64, 16, 5, pairs, arm)(0) for arm in ("control", "cleaned", "helip")]
    assert [len(b.ids) for b in batches] == [16, 16, 16]
    assert not same(Sampler(64, 16, 5, pairs)(0), Sampler(64, 16, 6, pairs)(0))


def test_noise_stays_when_asked_but_brings_no_pairs():
    pairs = ToyPairs(16, noise=range(8))
    batch = Sampler(16, 16, 0, pairs, drop_noise=False, p=1)(0)
    assert sorted(batch.ids.tolist()) == list(range(16))
    assert not pairs.noise[batch.ids[batch.seeds]].any()


def test_a_hard_pair_already_there_is_used_where_it_stands():
    batch = Sampler(6, 6, 0, ToyPairs(6, k=5), p=1)(0)  # the whole corpus: at least one of three drawn pairs is a base sample's or repeated
    assert sorted(batch.ids.tolist()) == list(range(6))
    assert len(batch.seeds) == 3


def test_captions_beside_the_batch_leave_it_the_controls():
    sampler, control = Sampler(60, 12, 0, ToyPairs(60, k=1), role="negatives"), Sampler(60, 12, 0, arm="control")
    for step in range(8):
        batch, plain = sampler(step), control(step)
        assert np.array_equal(batch.ids, plain.ids) and np.array_equal(batch.sample_seeds, plain.sample_seeds)
        # H_i is i + 1 alone: a row brings its caption unless the batch holds the pair itself
        assert batch.captions[:, 0].tolist() == [-1 if (i + 1) % 60 in batch.ids else (i + 1) % 60 for i in batch.ids]
        columns = np.array([*batch.ids, *batch.captions[batch.captions >= 0]])
        assert columns[batch.hard[:, 0]].tolist() == ((batch.ids + 1) % 60).tolist()


def test_hard_pairs_are_drawn_uniformly():
    pairs = ToyPairs(200, k=5)
    sampler = Sampler(200, 20, 0, pairs, p=2)
    offsets = [(b.ids[b.hard] - b.ids[b.seeds][:, None]) % 200 for b in map(sampler, range(600))]
    counts = np.bincount(np.concatenate(offsets).ravel(), minlength=6)[1:]
    expected = counts.sum() / 5
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square with 4 degrees of freedom, p = 0.001


@given(n=st.integers(1, 12), data=st.data())
def test_choose_gives_different_numbers(n, data):
    p = data.draw(st.integers(1, n))
    draws = data.draw(st.lists(st.integers(0, 2**62), min_size=p, max_size=p))
    picked = choose(draws, n)
    assert len(set(picked)) == p
    assert set(picked) <= set(range(n))


def test_choose_by_hand():
    assert choose([2, 2, 2], 5) == [2, 3, 4]  # of 0 1 2 3 4 the third; of 0 1 3 4 the third; of 0 1 4 the third
    assert choose([0, 0, 0], 3) == [0, 1, 2]


def test_held_out_pairs_are_never_drawn():
    held_out = held_out_mask(100, 0.1)
    assert held_out.sum() == 10
    sampler = Sampler(100, 20, 0, ToyPairs(100), keep=~held_out)
    assert not any(held_out[sampler(s).ids].any() for s in range(50))


def test_holding_out_nothing_is_refused():
    with pytest.raises(HelipError, match="held_out 0.001 of 100 pairs is no pair at all"):
        held_out_mask(100, 0.001)


def test_a_corpus_that_shrank_is_refused():
    with pytest.raises(HelipError, match="mined on 50 pairs and the corpus has 49: mine"):
        Sampler(49, 8, 0, ToyPairs(50))


def test_a_selection_of_another_corpus_is_refused():
    with pytest.raises(HelipError, match="selection is of 40 pairs and the corpus has 50"):
        Sampler(50, 8, 0, arm="control", keep=np.ones(40, bool))


def test_an_arm_without_its_pairs_is_refused():
    with pytest.raises(HelipError, match="needs a pair set"):
        Sampler(50, 8, 0, None, "helip")


def test_it_needs_no_torch():
    code = "import sys, helip.training.sampler; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
