"""What the library cannot take is said in one sentence, and nothing is guessed: each of these gave a number, or a traceback, before."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import helip
from helip.errors import HelipError

N = 40
RNG = np.random.default_rng(0)
IMAGE, TEXT = (RNG.standard_normal((N, 8)).astype(np.float32) for _ in range(2))
SPEC = helip.MiningSpec(k=3, tau_image=None, tau_text=None)


@pytest.fixture(scope="module")
def pairs():
    return helip.mine(IMAGE, TEXT, SPEC, workers=1)


def unit(rows=8):
    return normalize(torch.randn(rows, 4, generator=torch.Generator().manual_seed(rows)), dim=1)


@pytest.mark.parametrize(
    ("given", "settings", "sentence"),
    [
        ((IMAGE, TEXT, {"k": 3}), {}, "spec: expected a MiningSpec, got dict"),
        ((IMAGE, TEXT, SPEC), {"workers": -1}, "workers = -1: expected an integer of at least 1"),
        ((IMAGE, TEXT, SPEC), {"workers": 1.5}, r"workers = 1\.5: expected an integer"),
        ((IMAGE, TEXT, SPEC), {"shard": "0/2"}, r"shard '0/2': expected 0 <= i < n <= 40"),
        ((np.ma.masked_array(IMAGE, IMAGE > 2), TEXT, SPEC), {}, "image features: .*got a masked array"),
        ((torch.from_numpy(IMAGE).to_sparse(), TEXT, SPEC), {}, "image features: .*got a sparse tensor"),
        ((IMAGE, torch.empty(N, 8, device="meta"), SPEC), {}, "text features: .*got a tensor on 'meta'"),
        ((IMAGE.astype(np.float64) * 1e300, TEXT, SPEC), {}, "row 0 holds numbers too large or too small for float32"),
    ],
)
def test_what_cannot_be_mined(given, settings, sentence):
    with pytest.raises(HelipError, match=sentence):
        helip.mine(*given, **{"workers": 1, **settings})


def test_a_million_threads_are_as_many_as_there_are_cores(pairs):
    again = helip.mine(IMAGE, TEXT, SPEC, workers=10**6)
    assert (again.ids == pairs.ids).all() and (again.scores_flat == pairs.scores_flat).all()


@pytest.mark.parametrize("i", [slice(0, 3), 1.0, [1, 2]])
def test_a_target_is_an_integer(pairs, i):
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        pairs[i]


@pytest.mark.parametrize(
    ("score", "settings", "sentence"),
    [
        (None, {}, "score: None is no name"),
        (["clip_score"], {}, "is no name and no mapping"),
        ("s_clip_loss", {"temperature": -1.0}, r"temperature = -1\.0: Input should be greater than 0"),
        ("s_clip_loss", {"temperature": None}, "temperature = None: give a number"),
        ("s_clip_loss", {"batches": 0}, "batches = 0: Input should be greater than 0"),
        ("s_clip_loss", {"batch_size": 1}, "batch_size = 1: Input should be greater than 1"),
        ("s_clip_loss", {"seed": -1}, "seed = -1: Input should be greater than or equal to 0"),
        ("agreement", {"k": 0}, "k = 0: Input should be greater than 0"),
        ("agreement", {"model_features": (IMAGE, TEXT)}, "model_features: score agreement looks at none"),
        ("clip_score", {"model_features": (IMAGE,)}, "model_features: expected two"),
        ({"agreement": 0}, {}, "score 'agreement': weight 0: give a number above 0"),
        ({"agreement": "1", "ridge": 1}, {}, "score 'agreement': weight '1'"),
        ("clip_score", {"keep": "0.5"}, r"cannot keep a share of 0\.5"),
    ],
)
def test_what_cannot_be_selected(score, settings, sentence):
    with pytest.raises(HelipError, match=sentence):
        helip.select(IMAGE, TEXT, score, **settings)


@pytest.mark.parametrize("score", ["clip_score", "s_clip_loss"])
@pytest.mark.parametrize(("factor", "what"), [(1e25, "numbers too large or too small"), (0, "zeros"), (np.nan, "NaN or infinity")])
def test_rows_that_cannot_be_unit_are_named(score, factor, what):
    spoilt = np.where(np.arange(N)[:, None] == 3, np.float32(factor), 1) * IMAGE
    with pytest.raises(HelipError, match=f"image features: row 3 holds {what}"):
        helip.select(spoilt, TEXT, score)


def test_ridge_of_equal_features_is_refused():
    with pytest.raises(HelipError, match="ridge: the image features of all 40 pairs are equal"):
        helip.select(np.ones((N, 8), np.float32), TEXT, "ridge")


def test_a_mask_may_be_a_tensor(pairs):
    keep = np.arange(N) % 2 == 0
    ids = [list(helip.HardPairSampler(pairs, 4, keep=mask)) for mask in (keep, torch.from_numpy(keep))]
    assert ids[0] == ids[1] and not {i % 2 for batch in ids[0] for i in batch} - {0}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("runs/pairs", "pairs: expected a pair set, got str"),
        (None, "pairs: expected a pair set, got NoneType"),
        ([[1], [0]], "pairs: expected a pair set, got list"),
    ],
)
def test_what_is_no_pair_set(given, sentence):
    with pytest.raises(HelipError, match=sentence):
        helip.HardPairSampler(given, 2)


def test_a_shard_of_a_pair_set_trains_nothing():
    shard = helip.mine(IMAGE, TEXT, SPEC, workers=1, shard=(0, 2))
    with pytest.raises(HelipError, match="are shard 0/2 of a mining job"):
        helip.HardPairSampler(shard, 8)


def test_a_step_or_an_epoch_that_is_none(pairs):
    sampler = helip.HardPairSampler(pairs, 8)
    for ask, sentence in (
        (lambda: sampler.set_epoch(None), "epoch = None: expected an integer of at least 0"),
        (lambda: sampler.set_epoch(-1), "epoch = -1"),
        (lambda: sampler.start_at(-1), "step = -1"),
        (lambda: sampler.start_at(11), "step = 11: an epoch has 10 steps"),
        (lambda: helip.HardPairSampler(pairs, 8, drop_noise="no"), "drop_noise = 'no': expected True or False"),
    ):
        with pytest.raises(HelipError, match=sentence):
            ask()
    sampler.start_at(10)
    assert len(sampler) == 0 and list(sampler) == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gamma": -1.0}, r"gamma = -1\.0"),
        ({"gamma": float("nan")}, "gamma = nan"),
        ({"margin_on": "cosine"}, "margin_on = 'cosine': expected cosines or logits"),
        ({"symmetric": "no"}, "symmetric = 'no': expected True or False"),
        ({"world_size": 0}, "world_size = 0"),
    ],
)
def test_a_loss_of_settings_that_it_has_not(settings, sentence):
    with pytest.raises(HelipError, match=sentence):
        helip.HelipLoss(**settings)


def test_what_a_loss_cannot_take(pairs):
    loss, plan = helip.HelipLoss(), helip.HardPairSampler(pairs, 8).plan(0)
    beside = helip.HardPairSampler(pairs, 8, role="negatives").plan(0)
    extra = int((beside.captions >= 0).sum())
    for given, sentence in (
        ((unit().numpy(), unit(), 10.0), "features: expected torch tensors"),
        ((unit(), unit(), torch.ones(8)), r"logit_scale: expected one number above 0, got a tensor \[8\]"),
        ((unit(), unit(), -1.0), r"logit_scale: expected one number above 0, got -1\.0"),
        ((unit(), unit(), torch.tensor(-1.0)), r"logit_scale: expected one number above 0, got -1\.0"),
        ((unit(4), unit(8), 10.0), "4 rows of images and 8 of texts, and no plan"),
        ((unit(4), unit(4), 10.0, None, False, plan), "4 of texts, and the plan of a batch of 8;"),
        ((unit(8), unit(8), 10.0, None, False, beside), f"a batch of 8 with {extra} captions beside it"),
        ((unit(), unit(), 10.0, None, False, plan.ids), "plan: expected a BatchPlan, got ndarray"),
    ):
        with pytest.raises(HelipError, match=sentence):
            loss(*given)
    assert extra and loss(unit(8), unit(8 + extra), 10.0, plan=beside).isfinite()
