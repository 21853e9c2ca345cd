"""Mining among the pairs that a selection keeps is mining a corpus of those pairs, ids being those of the whole."""

import json

import numpy as np
import pytest
import torch
from slow_mining import world
from test_mining_engines import SPECS as LARGE
from test_mining_engines import assert_identical
from test_mining_exact import SPECS, assert_same

from helip.cli import main
from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining import PairSet, audit, mine
from helip.mining.blocks import among, blocks_of
from helip.mining.criterion import Criterion
from helip.mining.engines import torch_engine as blocks
from helip.mining.features import checked
from helip.mining.miner import _pair_set
from helip.mining.pairs import merge
from helip.training.sampler import Sampler


def masked(n: int, seed: int, **shape) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Features, and a mask that keeps two thirds of them and none of a fifth in the middle. What it drops is NaN: nobody may look."""
    features, keep = world(n, seed, **shape), np.random.default_rng(seed).random(n) < 2 / 3
    keep[n // 5 : 2 * n // 5] = False
    for x in features:
        x[~keep] = np.nan
    return features, keep


def alone(features, keep, spec) -> PairSet:
    """The kept rows mined as a corpus of their own, its ids those of the whole: what every test expects."""
    mined, kept = mine(*(x[keep] for x in features), spec), np.flatnonzero(keep)
    noise = np.ones(len(keep), bool)
    noise[kept] = mined.noise
    offsets = np.concatenate([[0], np.cumsum(~noise) * spec.k])
    return PairSet(kept[mined.ids].astype(np.int32), mined.scores_flat, offsets, noise, spec, len(keep), kept=keep)


class Renamed:
    """A pair set seen as one of the kept pairs alone."""

    def __init__(self, mined: PairSet, keep: np.ndarray):
        self.mined, self.kept, self.place = mined, np.flatnonzero(keep), np.cumsum(keep) - 1
        self.noise = mined.noise[keep]

    def hard(self, i: int) -> np.ndarray:
        return self.place[self.mined.hard(self.kept[i])]

    def scores(self, i: int) -> np.ndarray:
        return self.mined.scores(self.kept[i])


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.method + str(s.k))
def test_equals_the_slow_twin_of_the_kept_rows(spec):
    features, keep = masked(180, seed=1)
    mined = mine(*features, spec, keep=keep, memory="30MiB")
    assert_same(Renamed(mined, keep), *(x[keep] for x in features), spec)
    assert len(mined) == mined.corpus_size == 180
    assert mined.noise[~keep].all()
    assert keep[mined.ids].all()


@pytest.mark.parametrize("spec", LARGE, ids=lambda s: s.method + str(s.k))
def test_kernels_budgets_and_shards_agree_on_the_kept_rows(spec, tmp_path):
    features, keep = masked(1900, seed=7, image_dim=130, text_dim=200)
    expected = alone(features, keep, spec)
    assert_identical(mine(*features, spec, keep=keep, memory="33MiB", workers=1), expected)
    parts = [mine(*features, spec, keep=keep, shard=(i, 5)) for i in range(5)]
    assert not parts[1].mined.any()  # a shard of which nothing is left
    assert_identical(merge(parts[::-1], tmp_path / "merged"), expected)
    np.testing.assert_array_equal(PairSet.open(tmp_path / "merged").kept, keep)


def test_the_torch_kernel_too():
    spec = LARGE[5]
    features, keep = masked(1900, seed=7, image_dim=130, text_dim=200)
    kept = np.flatnonzero(keep)
    used = [checked(name, x, selected=kept) for name, x in zip(("image", "text"), features, strict=True)]
    ids, scores = np.full((len(kept), spec.k), -1, np.int32), np.zeros((len(kept), spec.k), np.float32)
    with torch.inference_mode():
        for step in blocks.run(used, Criterion.of(spec), among(kept, blocks_of(spec, len(kept), 0, len(kept))), 6 << 20, 1):
            if isinstance(step, tuple):
                rows = np.searchsorted(kept, step[0])
                ids[rows], scores[rows] = step[1:]
    assert_identical(_pair_set(ids, scores, spec, 1900, (0, 1), keep), alone(features, keep, spec))


def test_ivf_indexes_the_kept_rows_alone():
    features, keep = masked(900, seed=4)
    everywhere = MiningSpec(k=5, ivf_candidates=int(keep.sum()) - 1, ivf_probes=1000)
    assert_identical(mine(*features, everywhere, keep=keep, workers=1), alone(features, keep, MiningSpec(k=5)))


def test_every_fast_hpm_target_has_exactly_a_pool_of_kept_pairs():
    """With no threshold and k = C, H_i is the pool."""
    features, keep = masked(200, seed=5)
    spec = MiningSpec(method="fast_hpm", k=20, pool=20, pool_block=30, tau_image=None, tau_text=None)
    mined = mine(*(np.abs(x) for x in features), spec, keep=keep)
    for i in np.flatnonzero(keep):
        pool = set(mined.hard(i).tolist())
        assert len(pool) == 20
        assert i not in pool
        assert keep[list(pool)].all()


def test_a_mask_that_keeps_all_changes_nothing():
    features = world(150, seed=2)
    assert_identical(mine(*features, SPECS[0], keep=np.ones(150, bool)), mine(*features, SPECS[0]))


def test_no_arm_that_asks_for_noise_draws_what_was_not_mined():
    """Also where nobody tells the sampler of the selection; and where somebody does, it is the same."""
    features, keep = masked(180, seed=1)
    mined = mine(*features, MiningSpec(k=5), keep=keep)
    for arm in ("cleaned", "helip"):
        told, untold = (Sampler(180, 16, 0, mined, arm, keep=given) for given in (keep, None))
        for step in range(20):
            assert keep[told(step).ids].all()
            np.testing.assert_array_equal(told(step).ids, untold(step).ids)


def test_the_audit_is_of_the_kept_pairs():
    features, keep = masked(180, seed=1)
    spec = MiningSpec(k=5)
    report = audit.audit(mine(*features, spec, keep=keep), *features)
    rows = [x[keep] for x in features]
    assert report == audit.audit(mine(*rows, spec), *rows)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (np.ones(59, bool), r"expected bool \[60\], one for each pair of the corpus, got bool \[59\]"),
        (np.ones(60, np.uint8), r"got uint8 \[60\]"),
        (np.ones((60, 1), bool), r"got bool \[60, 1\]"),
        ([True] * 60, "got list"),
        (np.arange(60) == 7, "keeps 1 of 60 pairs"),
        (np.arange(60) < 3, "k = 3: a target has only 2 candidates"),
    ],
)
def test_bad_masks(keep, words):
    with pytest.raises(HelipError, match=words):
        mine(*world(60, seed=3), MiningSpec(k=3), keep=keep)


@pytest.fixture
def files(tmp_path):
    features, keep = masked(60, seed=3)
    for name, x in (*zip(("image", "text"), features, strict=True), ("keep", keep), ("short", keep[:-1]), ("one", np.arange(60) == 7)):
        np.save(tmp_path / f"{name}.npy", x)
    return tmp_path


def ask(files, out: str, *more: str, keep: str = "keep") -> list[str]:
    given = {"--image-features": "image.npy", "--text-features": "text.npy", "--keep": f"{keep}.npy", "--out": out}
    return ["mine", *(word for option, name in given.items() for word in (option, str(files / name))), "--k", "3", "--workers", "1", *more]


def test_the_command_says_what_was_kept_and_its_shards_agree(files, capsys):
    assert main(ask(files, "pairs")) == 0
    keep, mined = np.load(files / "keep.npy"), PairSet.open(files / "pairs")
    assert f"{keep.sum()} of 60 targets" in capsys.readouterr().out
    assert mined.metadata["kept"] == keep.sum()
    assert mined.metadata["keep_digest"] == mined.metadata["inputs"]["selection"]  # kept.npy is that very file
    assert mined.metadata["noise_targets"] == mined.noise[keep].sum()
    assert json.loads((files / "pairs" / "audit.json").read_text())["targets"] == keep.sum()
    for i in range(2):
        assert main(ask(files, f"s{i}", "--shard", f"{i}/2")) == 0
    assert main(["merge-pairs", str(files / "s1"), str(files / "s0"), "--out", str(files / "merged")]) == 0
    for name in ("ids", "scores", "offsets", "noise", "kept"):
        assert (files / "merged" / f"{name}.npy").read_bytes() == (files / "pairs" / f"{name}.npy").read_bytes()
    assert PairSet.open(files / "merged").metadata["keep_digest"] == mined.metadata["keep_digest"]


def test_the_command_refuses(files, capsys):
    for keep, words in (("short", "short.npy: holds bool [59], and the corpus needs bool [60]"), ("one", "keeps 1 of 60 pairs"),
                        ("image", "image.npy: holds float32"), ("absent", "absent.npy: not found; run `helip select` first")):  # fmt: skip
        assert main(ask(files, "pairs", keep=keep)) == 2
        assert words in capsys.readouterr().err
    assert main(ask(files, "pairs", "--method", "random", "--corpus", str(files))) == 2
    assert "method 'random' compares no features" in capsys.readouterr().err
    (files / "selection.json").write_text('{"corpus_digest": "other"}')
    (files / "image.json").write_text('{"corpus_digest": "one"}')
    assert main(ask(files, "pairs")) == 2
    assert "not of one corpus" in capsys.readouterr().err
    assert not (files / "pairs").exists()


def test_shards_of_different_masks_are_of_different_jobs(tmp_path):
    features = world(60, seed=3)
    masks = (None, np.arange(60) > 9)
    with pytest.raises(HelipError, match="differ in the pairs they keep"):
        merge([mine(*features, MiningSpec(k=3), keep=mask, shard=(i, 2)) for i, mask in enumerate(masks)], tmp_path / "merged")
