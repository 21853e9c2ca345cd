import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_selection import slow_clip_score, slow_norm_sim, slow_s_clip_loss

from helip.errors import HelipError
from helip.selection import clip_score, norm_sim, s_clip_loss, scores


def unit(rng, N, D):
    rows = rng.standard_normal((N, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    return unit(rng, 53, 8), unit(rng, 53, 8)


def test_clip_score_by_hand():
    """Images (1, 0) and (0, 1), captions (0.6, 0.8) and (0, 1): s_11 = 0.6, s_22 = 1."""
    assert clip_score(np.eye(2, dtype=np.float32), np.array([[0.6, 0.8], [0, 1]], np.float32)) == pytest.approx([0.6, 1.0])


def test_s_clip_loss_by_hand():
    """Images (1, 0) and (0, 1), captions both (1, 0), tau 0.5: s / tau = [[2, 2], [0, 0]].

    Pair 1: s = 1, over texts log(2 e^2) = 2.6931, over images log(e^2 + 1) = 2.1269: 1 - 0.25 x 4.8200 = -0.2050.
    Pair 2: s = 0, over texts log 2 = 0.6931, over images 2.1269: 0 - 0.25 x 2.8200 = -0.7050.
    """
    image, text = np.eye(2, dtype=np.float32), np.array([[1, 0], [1, 0]], np.float32)
    over_images = math.log(math.e**2 + 1)
    expected = [1 - 0.25 * (2 + math.log(2) + over_images), 0 - 0.25 * (math.log(2) + over_images)]
    assert s_clip_loss(image, text, temperature=0.5, batch_size=2, batches=1) == pytest.approx(expected, abs=1e-6)


def test_norm_sim_by_hand():
    """A feature (1, 0) against targets (0.6, 0.8) and (-0.8, 0.6): products 0.6 and -0.8, norms 1 and 0.8."""
    feature, target = np.array([[1, 0]], np.float32), np.array([[0.6, 0.8], [-0.8, 0.6]], np.float32)
    assert norm_sim(feature, target, "2") == pytest.approx([1.0])
    assert norm_sim(feature, target, "inf") == pytest.approx([0.8])


@pytest.mark.parametrize("block", [1, 700, 1 << 20])  # bytes: one row at a time, a few, all at once
def test_scores_in_blocks_equal_their_slow_twins(pairs, monkeypatch, block):
    monkeypatch.setitem(scores.BLOCK_BYTES, "cpu", block)
    image, text = pairs
    assert clip_score(image, text) == pytest.approx(slow_clip_score(image, text), abs=1e-6)
    assert s_clip_loss(image, text, 0.05, 20, 3, 7) == pytest.approx(slow_s_clip_loss(image, text, 0.05, 20, 3, 7), abs=1e-5)
    for p in ("2", "inf"):
        assert norm_sim(image, text[:11], p) == pytest.approx(slow_norm_sim(image, text[:11], p), abs=1e-6)


@given(st.integers(2, 30), st.integers(2, 40), st.integers(1, 4), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_s_clip_loss_is_its_slow_twin_at_every_size(N, batch_size, batches, seed):
    rng = np.random.default_rng(seed)
    image, text = unit(rng, N, 4), unit(rng, N, 4)
    expected = slow_s_clip_loss(image, text, 0.05, batch_size, batches, seed)
    assert s_clip_loss(image, text, 0.05, batch_size, batches, seed) == pytest.approx(expected, abs=2e-5)


def test_the_sharp_temperature_of_the_paper_does_not_overflow():
    """s / tau reaches 100, and e^100 is no float32; opposite captions give -100."""
    image = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    scores = s_clip_loss(image, np.array([[1, 0], [1, 0], [0, 1]], np.float32), 0.01, 3, 1)
    # pair 1: texts log(2 e^100), images log(e^100): 1 - 0.005 x 200.6931; pair 2: s -1, texts log(2 e^-100 + 1) = 0, images 100
    assert scores == pytest.approx([1 - 0.005 * (200 + math.log(2)), -1 - 0.005 * 100, 0.0], abs=1e-6)


def test_s_clip_loss_is_minus_half_tau_times_the_clip_loss(pairs):
    import torch

    image, text = (torch.from_numpy(x) for x in pairs)
    logits = image @ text.T / 0.07
    own = torch.arange(len(image))
    both = sum(torch.nn.functional.cross_entropy(x, own, reduction="none") for x in (logits, logits.T))
    assert s_clip_loss(*pairs, 0.07, len(image), 1) == pytest.approx((-0.07 / 2 * both).numpy(), abs=1e-5)


def test_a_caption_that_fits_every_image_scores_low():
    general, exact = [0.9, 0.3, 0.3, 0.1], [0, 1, 0, 0]
    image = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.9, 0.436, 0, 0], [0.9, 0, 0.436, 0]], np.float32)
    text = np.array([general, exact, general, general], np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    assert clip_score(image, text)[0] > 0.89
    scores = s_clip_loss(image, text, 0.1, 4, 1)
    assert scores[0] < scores[1] - 0.05


def test_memory_mapped_half_precision_features_are_accepted(pairs, tmp_path):
    for name, rows in zip(("image", "text"), pairs, strict=True):
        np.save(tmp_path / f"{name}.npy", rows.astype(np.float16))
    image, text = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("image", "text"))
    # Rounding moves a unit row by at most 2^-11 and a cosine by twice that; the score is the cosine and tau times a mean of two
    # logsumexp of cosines / tau, which move no more than the largest of them. 1e-5 is for float32 and for numbers below half precision.
    bound = 2 * 2 * 2**-11 + 1e-5
    assert s_clip_loss(image, text, 0.05, 20, 2) == pytest.approx(s_clip_loss(*pairs, 0.05, 20, 2), abs=bound)
    assert clip_score(image, text).dtype == norm_sim(image, text).dtype == np.float32


def test_scores_depend_on_the_seed_alone(pairs):
    first = s_clip_loss(*pairs, 0.05, 10, 2, seed=1)
    assert (first == s_clip_loss(*pairs, 0.05, 10, 2, seed=1)).all()
    assert (first != s_clip_loss(*pairs, 0.05, 10, 2, seed=2)).any()


def test_features_that_do_not_belong_together_are_refused(pairs):
    image, text = pairs
    for score in (clip_score, s_clip_loss):
        with pytest.raises(HelipError, match=r"image features \[53, 8\] and text features \[52, 8\] are not of the same pairs"):
            score(image, text[:52])
    with pytest.raises(HelipError, match="differ in width"):
        norm_sim(image, text[:, :7])
