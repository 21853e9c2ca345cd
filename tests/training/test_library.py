"""The library in a loop of one's own: names, pair sets, the batch sampler, the loss, and the worked example of the docs."""

import re
import subprocess
import sys

import numpy as np
import open_clip
import pytest
import torch
from toys import ToyPairs

import helip
from helip.errors import HelipError
from helip.losses import clip_loss, helip_loss
from helip.selection.agreement import agreement
from helip.selection.keep import keep_top
from helip.training.duplicates import Duplicates


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    concept = rng.standard_normal((6, 8))[rng.integers(0, 6, 80)]
    return tuple((concept + 0.5 * rng.standard_normal((80, 8))).astype(np.float32) for _ in range(2))


@pytest.fixture(scope="module")
def pairs(arrays):
    return helip.mine(*arrays, helip.MiningSpec(k=4, tau_image=0.3, tau_text=0.3), workers=1)


def unit(seed, rows=6, dim=5):
    x = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=1)


def test_names_of_the_package():
    names = ["HardPairSampler", "HelipLoss", "MiningSpec", "PairSet", "Sampler", "__version__", "clip_loss", "hard_negative_margin_loss"]
    assert dir(helip) == [*names, "helip_loss", "mine", "select"] and all(getattr(helip, name) is not None for name in dir(helip))
    assert re.fullmatch(r"\d+\.\d+\.\d+", helip.__version__)
    with pytest.raises(AttributeError, match="has no attribute 'mines'"):
        _ = helip.mines


def test_importing_it_needs_neither_torch_nor_snakemake():
    code = "import sys, helip; helip.__version__; dir(helip); print(sorted({'torch', 'snakemake', 'mlflow'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_pair_set_is_a_sequence_of_lists(pairs, tmp_path):
    outliers = f"{pairs.noise.mean():.1%}"
    assert repr(pairs) == f"PairSet(80 targets, {len(pairs.ids)} hard pairs, {outliers} outliers, hpm, k 4)"
    assert len(pairs) == 80 and pairs[3] is not None and (pairs[-1] == pairs.hard(79)).all()
    assert [one.tolist() for one in pairs] == [pairs.hard(i).tolist() for i in range(80)]
    with pytest.raises(IndexError, match="target 80 of a pair set of 80 targets"):
        pairs[80]
    pairs.save(tmp_path / "pairs")
    assert (helip.PairSet.load(tmp_path / "pairs").ids == pairs.ids).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, np.float64])
def test_tensors_and_other_float_types_are_mined(arrays, kind):
    spec = helip.MiningSpec(k=4, tau_image=0.3, tau_text=0.3)
    given = [torch.from_numpy(a).to(kind) if isinstance(kind, torch.dtype) else a.astype(kind) for a in arrays]
    expected = [x.float().numpy() if isinstance(x, torch.Tensor) else x.astype(np.float32) for x in given]
    keep = np.arange(80) % 9 > 0
    mined = helip.mine(*given, spec, keep=torch.from_numpy(keep), workers=1)
    np.testing.assert_array_equal(mined.ids, helip.mine(*expected, spec, keep=keep, workers=1).ids)


def test_a_selection_of_arrays(arrays):
    image, text = arrays
    assert (helip.select(image, text, "agreement", 0.75, k=5) == keep_top(agreement(image, text, k=5), 0.75)).all()
    scaled = helip.select(7 * torch.from_numpy(image).double(), text, "clip_score", 0.5)
    cosine = (image * text).sum(1) / np.linalg.norm(image, axis=1) / np.linalg.norm(text, axis=1)
    assert set(np.flatnonzero(scaled)) == set(np.argsort(-cosine)[:40])
    assert helip.select(image, text, {"clip_score": 1, "agreement": 1}, 0.5, model_features=(image, text)).sum() == 40
    for score, settings, words in (
        ("clips", {}, "score 'clips': is none of clip_score"),
        ("clip_score", {"k": 3}, "score clip_score: got an unexpected keyword argument 'k'"),
        ({"clip_score": 1, "ridge": 1}, {"k": 3}, "k: settings are of one score"),
    ):
        with pytest.raises(HelipError, match=words):
            helip.select(image, text, score, **settings)


class Ids(torch.utils.data.Dataset):
    def __len__(self):
        return 80

    def __getitem__(self, i):
        return i


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gets_the_batches_of_the_sampler(pairs, workers):
    one, plain = helip.HardPairSampler(pairs, 12, seed=3), helip.Sampler(80, 12, 3, pairs)
    assert len(one) == len(plain) > 1
    for epoch in range(2):
        one.set_epoch(epoch)
        loader = torch.utils.data.DataLoader(Ids(), batch_sampler=one, num_workers=workers)
        assert [batch.tolist() for batch in loader] == [plain(epoch * len(plain) + step).ids.tolist() for step in range(len(plain))]
    assert [batch.ids.tolist() for batch in plain] == [plain(step).ids.tolist() for step in range(len(plain))]


def test_processes_share_the_rows_and_a_resumed_epoch_goes_on(pairs):
    whole = list(helip.HardPairSampler(pairs, 12))
    parts = [list(helip.HardPairSampler(pairs, 12, rank=rank, world_size=3)) for rank in range(3)]
    assert [[i for part in rows for i in part] for rows in zip(*parts, strict=True)] == whole
    resumed = helip.HardPairSampler(pairs, 12)
    resumed.start_at(2)
    assert len(resumed) == len(whole) - 2 and list(resumed) == whole[2:] and list(resumed) == whole
    with pytest.raises(HelipError, match="batch_size 12 does not divide into 5 processes"):
        helip.HardPairSampler(pairs, 12, rank=0, world_size=5)
    with pytest.raises(HelipError, match="rank = 3: expected one of the world's 3"):
        helip.HardPairSampler(pairs, 12, rank=3, world_size=3)


@pytest.mark.parametrize("taken", [1, 2])
def test_a_resumed_epoch_left_early_shortens_no_other(pairs, taken):
    sampler, whole = helip.HardPairSampler(pairs, 12), len(helip.HardPairSampler(pairs, 12))
    sampler.start_at(3)
    resumed = iter(sampler)
    assert [next(resumed) for _ in range(taken)] == [sampler.plan(3 + step).ids.tolist() for step in range(taken)]
    sampler.set_epoch(1)
    assert len(sampler) == whole and list(sampler) == [sampler.plan(step).ids.tolist() for step in range(whole)]


def test_a_plan_is_found_by_its_ids(pairs):
    sampler = helip.HardPairSampler(pairs, 12, rank=1, world_size=3)
    for epoch in (0, 2):
        sampler.set_epoch(epoch)
        for step in (0, 1, 3, 2):
            ids = sampler.plan(step).ids
            assert (sampler.plan_of(torch.from_numpy(ids[4:8])).ids == ids).all()
    with pytest.raises(HelipError, match=r"ids \[0, 1, 2, 3\]...: no batch of epoch 2 has them in this order"):
        sampler.plan_of(range(4))


def test_the_loss_has_open_clips_signature(pairs):
    image, text, scale = unit(0, 12), unit(1, 12), torch.tensor(20.0)
    plan = helip.HardPairSampler(pairs, 12).plan(0)
    theirs, ours = open_clip.loss.ClipLoss(), helip.HelipLoss()
    assert float(ours(image, text, scale)) == pytest.approx(float(theirs(image, text, scale)), rel=1e-6)
    assert float(ours(image, text, scale, torch.tensor(-3.0))) == pytest.approx(float(theirs(image, text, scale, -3.0)), rel=1e-6)
    parts = ours(image, text, scale, output_dict=True, plan=plan)
    assert set(parts) == {"contrastive_loss", "margin_loss"}
    assert float(sum(parts.values())) == pytest.approx(float(helip_loss(image, text, scale, plan.seeds, plan.hard)), rel=1e-6)
    logits = helip.HelipLoss(gamma=0.5, margin_on="logits")(image, text, scale, plan=plan)
    assert float(logits) == pytest.approx(
        float(helip_loss(image, text, scale, plan.seeds, plan.hard, gamma=0.5, margin_on="logits")), rel=1e-6
    )


def test_equal_pairs_and_captions_beside_the_batch_in_one_loss(pairs):
    words = [f"caption {i // 8}" for i in range(80)]  # eight pairs of each caption
    sampler = helip.HardPairSampler(pairs, 12, role="negatives", duplicates=Duplicates.from_values(range(80), [[one] for one in words]))
    plan = sampler.plan(0)
    images, texts = plan.ids, np.concatenate([plan.ids, plan.captions[plan.captions >= 0]])
    assert len(texts) > len(images)
    equal = np.array([[i != j and words[i] == words[j] for j in texts] for i in images])
    assert equal[:, :12].any() and equal[:, 12:].any()
    image, text = unit(0, 80)[images], unit(1, 80)[texts]
    logits = (20 * image @ text.T).masked_fill(torch.from_numpy(equal), -torch.inf)
    both = [torch.nn.functional.cross_entropy(s, torch.arange(12)) for s in (logits, logits[:, :12].T)]
    assert float(helip.HelipLoss(gamma=0)(image, text, 20.0, plan=plan)) == pytest.approx(float(sum(both)) / 2, rel=1e-5)
    with pytest.raises(HelipError, match="symmetric: captions beside the batch"):
        helip.HelipLoss(symmetric=True)(image, text, 20.0, plan=plan)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_losses_are_in_single_precision_under_autocast(pairs, kind):
    image, text, scale = unit(0, 12), unit(1, 12), torch.tensor(20.0)
    plan = helip.HardPairSampler(pairs, 12).plan(0)
    losses = (
        lambda a, b: helip.HelipLoss()(a, b, scale, plan=plan, output_dict=True)["margin_loss"],
        lambda a, b: helip.HelipLoss(symmetric=True, margin_on="logits")(a, b, scale, plan=plan),
        lambda a, b: helip_loss(a, b, scale, plan.seeds, plan.hard),
        lambda a, b: helip.hard_negative_margin_loss(a, b, plan.seeds, plan.hard),
        lambda a, b: clip_loss(a, b, scale),
    )
    for loss in losses:
        with torch.autocast("cpu", kind):
            low = loss(image, text)
        assert low.dtype == torch.float32 and torch.equal(low, loss(image, text))
        rounded = [x.to(kind) for x in (image, text)]
        assert torch.equal(loss(*rounded), loss(*(x.float() for x in rounded)))
        assert loss(image.double(), text.double()).dtype == torch.float64


def test_the_loss_masks_what_the_plan_calls_equal(pairs):
    copies = Duplicates.from_values([i // 2 for i in range(80)], [[str(i)] for i in range(80)])
    sampler = helip.HardPairSampler(pairs, 12, duplicates=copies)
    plan = next(plan for plan in map(sampler.plan, range(40)) if len(plan.equal))
    image, text = unit(0, 12), unit(1, 12)
    plain = float(clip_loss(image, text, 20.0))
    assert float(helip.HelipLoss(gamma=0)(image, text, 20.0, plan=plan)) < plain


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keep": np.ones(40, np.uint8)}, "keep: expected a bool array .40."),
        ({"keep": np.arange(40)}, "keep: expected a bool array .40., .* got int64 .40."),
        ({"keep": [True] * 40}, "got list"),
        ({"arm": "HELIP"}, "arm = 'HELIP': expected one of control, cleaned, helip"),
        ({"role": "neg"}, "role = 'neg': expected one of batch, negatives"),
        ({"seed": None}, "seed = None: expected an integer of at least 0"),
        ({"seed_fraction": 50}, "seed_fraction = 50: expected a share from 0 to 1"),
        ({"seed_fraction": -1}, "seed_fraction = -1: expected a share"),
        ({"p": 0}, "p = 0: expected an integer of at least 1"),
        ({"batch_size": 0}, "batch_size = 0: expected an integer of at least 1"),
        ({"batch_size": 64}, "a batch of 64 is larger than the 40 pairs left to train on: lower batch_size"),
        ({"noise": range(37)}, "than the 3 pairs left to train on .37 are outliers of the pair set.*--outliers 0.15"),
    ],
)
def test_what_a_sampler_cannot_take(given, words):
    settings = {"size": 40, "batch_size": 8, "seed": 0} | given
    noise = settings.pop("noise", ())
    with pytest.raises(HelipError, match=words):
        helip.Sampler(pairs=ToyPairs(40, noise=noise), **settings)


def test_more_hard_pairs_than_any_list_holds_are_refused(pairs):
    with pytest.raises(HelipError, match="p = 5: no list of the pair set holds more than 4 hard pairs"):
        helip.Sampler(80, 12, 0, pairs, p=5)
    with pytest.raises(HelipError, match="step = -1"):
        helip.Sampler(80, 12, 0, pairs)(-1)


def test_a_step_that_counts_through_all_epochs_is_refused(pairs):
    sampler = helip.HardPairSampler(pairs, 12)
    sampler.set_epoch(1)
    for step in (len(sampler), -1, 1.0):
        with pytest.raises(HelipError, match=f"step = {step}"):
            sampler.plan(step)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rank": "0"}, "rank = '0'"),
        ({"world_size": 2.0}, "world_size = 2.0"),
        ({"rank": 1}, "rank = 1: expected one of the world's 1"),
        ({"soft": 3}, "soft: expected a Soft or None, got int"),
        ({"duplicates": []}, "duplicates: expected a Duplicates or None, got list"),
    ],
)
def test_what_the_batch_sampler_cannot_take(pairs, given, words):
    with pytest.raises(HelipError, match=words):
        helip.HardPairSampler(pairs, 12, **given)


@pytest.mark.parametrize(
    ("image", "seeds", "hard", "words"),
    [
        (3 * unit(0), [0], [[1]], "the first row has norm 3, and the loss takes unit rows"),
        (unit(0), [7], [[1]], "seeds: 7 to 7 are no positions in a batch of 6"),
        (unit(0), [0], [[4711]], "hard: 4711 to 4711 are no positions in a batch of 6"),
        (unit(0), [0, 1], [[1]], "hard: expected .S, P., a row for each of the 2 seeds"),
        (unit(0), [0, 1], [], "hard: expected .S, P., a row for each of the 2 seeds"),
        (unit(0), [[0]], [[1]], "hard: expected .S, P., a row for each of the 1 seeds .S."),
        (unit(0), [0], [[1.0]], "hard: expected rows of the batch as int64, got float64"),
        (unit(0), [3], [[3]], "hard: a seed is its own hard pair"),
        (unit(0, dim=2), [0], [[1]], "features: of images 2 wide and of texts 5"),
        (torch.cat([unit(0), unit(2)]), [0], [[1]], "features: 12 rows of images and 6 of texts"),
    ],
)
def test_what_a_loss_cannot_take(image, seeds, hard, words):
    with pytest.raises(HelipError, match=words):
        helip_loss(image, unit(1), 10.0, np.array(seeds), np.array(hard))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gamma": float("nan")}, "gamma = nan"),
        ({"gamma": -1}, "gamma = -1"),
        ({"gamma": True}, "gamma"),
        ({"margin_on": "logit"}, "margin_on"),
        ({"symmetric": 1}, "symmetric"),
    ],
)
def test_what_the_margin_cannot_be(given, words):
    with pytest.raises(HelipError, match=words):
        helip_loss(unit(0), unit(1), 10.0, [0], [[1]], **given)
    with pytest.raises(HelipError, match=words):
        helip.HelipLoss(**given)


def test_captions_beside_the_batch_have_no_symmetric_margin():
    texts = torch.cat([unit(1), unit(2)])  # six pairs, six captions beside them
    assert helip_loss(unit(0), texts, 10.0, [0], [[8]]) > 0
    with pytest.raises(HelipError, match="symmetric: captions beside the batch"):
        helip_loss(unit(0), texts, 10.0, [0], [[8]], symmetric=True)
