"""Tau by quantile: the share of outliers that was asked for, whatever the encoders' cosines are."""

import json

import numpy as np
import pytest
from pydantic import ValidationError
from slow_mining import unit, world

from helip.cli import main
from helip.config import MiningSpec, Pairs
from helip.errors import HelipError
from helip.io import file_digest
from helip.mining import PairSet, mine, thresholds
from helip.mining.job import summary
from helip.mining.pairs import merge

N = 300


@pytest.fixture
def features():
    return world(N, seed=3)


@pytest.mark.parametrize("share", [0.05, 0.4])
@pytest.mark.parametrize("spec", [{}, {"method": "image"}, {"method": "text"}, {"method": "fast_hpm", "pool": 100, "pool_block": 130}])
def test_the_share_asked_for_is_the_share_of_outliers(features, share, spec):
    image, text = features
    given = {"image": (image, None), "text": (None, text)}.get(spec.get("method"), features)
    pairs = mine(*given, MiningSpec(k=5, outliers=share, **spec))
    assert abs(pairs.noise.sum() - round(share * N)) <= 1  # two targets may be the k-th of each other
    assert pairs.outlier_share == pairs.noise.sum() / N


def test_encoders_of_other_cosines_lose_as_many(features):
    image, text = features
    narrow = image / np.linalg.norm(image, axis=1, keepdims=True) + np.full(image.shape[1], 0.5, np.float32)  # all cosines above 0.8
    assert mine(narrow, text, MiningSpec(k=5)).noise.mean() < 0.05  # tau 0.5 says nothing of such an encoder
    pairs = mine(narrow, text, MiningSpec(k=5, outliers=0.2))
    assert abs(pairs.noise.sum() - 60) <= 1 and pairs.metadata["tau"]["image"] > 0.8


def test_tau_is_one_quantile_of_both_and_gives_the_same_set(features):
    pairs = mine(*features, MiningSpec(k=5, outliers=0.15))
    tau, q = pairs.metadata["tau"], pairs.metadata["tau_quantile"]
    fixed = mine(*features, MiningSpec(k=5, tau_image=tau["image"], tau_text=tau["text"]))
    np.testing.assert_array_equal(pairs.ids, fixed.ids)
    np.testing.assert_array_equal(pairs.noise, fixed.noise)
    for name, x in zip(("image", "text"), map(unit, features), strict=True):
        every = (x @ x.T)[~np.eye(N, dtype=bool)]
        assert np.mean(every <= tau[name]) == pytest.approx(q, abs=0.02)  # the levels are measured on drawn pairs


def test_masks_and_shards_find_the_same_tau(features, tmp_path):
    keep = np.random.default_rng(0).random(N) < 0.7
    spec = MiningSpec(k=5, outliers=0.1, max_similarity=0.99)
    whole = mine(*features, spec, keep=keep)
    assert abs(whole.noise[keep].sum() - round(0.1 * keep.sum())) <= 1
    shards = [mine(*features, spec, keep=keep, shard=(i, 3), workers=1) for i in range(3)]
    for i, shard in enumerate(shards):
        assert shard.metadata["tau"] == whole.metadata["tau"]
        shard.save(tmp_path / f"s{i}", inputs={}, corpus_digest="c")
    joined = merge([PairSet.open(tmp_path / f"s{i}") for i in range(3)], tmp_path / "whole")
    np.testing.assert_array_equal(joined.ids, whole.ids)
    written = json.loads((tmp_path / "whole" / "pairs.json").read_text())
    assert written["tau"] == whole.metadata["tau"] and written["declaration"]["outliers"] == 0.1
    assert written["outlier_share"] == pytest.approx(0.1, abs=6e-3)
    assert written["near_duplicates"] == whole.metadata["near_duplicates"]


def test_near_duplicates_that_were_left_out_are_counted(features):
    x = [unit(one) for one in features]
    near = np.any([(one @ one.T)[~np.eye(N, dtype=bool)].reshape(N, N - 1) > 0.95 for one in x], axis=0)
    result = mine(*features, MiningSpec(k=5, max_similarity=0.95)).metadata["near_duplicates"]
    assert result == {"sampled_targets": N, "pairs": int(near.sum()), "targets": int(near.any(1).sum())} and near.any()


def test_a_sample_of_a_large_corpus_comes_near_the_share(features, monkeypatch):
    monkeypatch.setattr(thresholds, "ALL", 150)
    monkeypatch.setattr(thresholds, "SAMPLED", 200)
    assert mine(*features, MiningSpec(k=5, outliers=0.2)).noise.mean() == pytest.approx(0.2, abs=0.03)


def test_skipped_ranks_are_the_first_of_the_lists(features):
    longer, skipped = mine(*features, MiningSpec(k=7)), mine(*features, MiningSpec(k=5, skip_first=2))
    np.testing.assert_array_equal(skipped.noise, longer.noise)
    np.testing.assert_array_equal(skipped.ids.reshape(-1, 5), longer.ids.reshape(-1, 7)[:, 2:])
    np.testing.assert_array_equal(skipped.scores_flat.reshape(-1, 5), longer.scores_flat.reshape(-1, 7)[:, 2:])
    with pytest.raises(HelipError, match="k = 298 and skip_first = 2: a target has only 299"):
        mine(*features, MiningSpec(k=298, skip_first=2))


def test_skipped_ranks_are_none_of_the_share():
    """A target needs k hard pairs behind those that are skipped: 15 % of 600 lack them, with skipped ranks as without."""
    features = world(600, seed=3)
    for skip_first in (0, 5):
        assert abs(mine(*features, MiningSpec(k=5, skip_first=skip_first, outliers=0.15)).noise.sum() - 90) <= 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"outliers": 0.1, "tau_image": 0.5}, "not both"),
        ({"outliers": 1.0}, "less than 1"),
        ({"outliers": 0.1, "method": "random"}, "compares none"),
        ({"skip_first": 1, "method": "truth"}, "compares none"),
    ],
)
def test_what_excludes_outliers(given, words):
    with pytest.raises(ValidationError, match=words):
        MiningSpec(**given)


def test_a_spec_survives_its_own_dump():
    spec = Pairs(outliers=0.1, image_encoder="a", text_encoder="b")
    assert (spec.tau_image, spec.tau_text) == (None, None)
    assert Pairs.model_validate(spec.model_dump()) == spec == Pairs.model_validate(spec.model_dump(exclude_unset=True))


def test_more_outliers_than_asked_whatever_tau_is(features):
    apart = np.concatenate([np.eye(20), -np.eye(20)]).astype(np.float32)  # no two have a positive cosine
    with pytest.raises(HelipError, match="without any tau 100.0% of the targets have fewer than k"):
        mine(apart, None, MiningSpec(method="image", k=1, outliers=0.1))


@pytest.fixture
def files(features, tmp_path):
    for name, x in zip(("image", "text"), features, strict=True):
        np.save(tmp_path / f"{name}.npy", x)
    return tmp_path


def ask(files, *more: str) -> list[str]:
    """Options with a value each; `more` in place of what is usual."""
    given = {"--image-features": str(files / "image.npy"), "--text-features": str(files / "text.npy"), "--out": str(files / "pairs")}
    given |= {"--k": "5", "--workers": "1"} | dict(zip(more[::2], more[1::2], strict=True))
    return ["mine", *(word for option in given.items() for word in option)]


def test_the_command_records_tau_and_share(files, capsys):
    assert main(ask(files, "--outliers", "0.15")) == 0
    pairs, written = PairSet.open(files / "pairs"), json.loads((files / "pairs" / "pairs.json").read_text())
    assert abs(pairs.noise.sum() - 45) <= 1 and written["outlier_share"] == pairs.noise.sum() / N
    assert f"at tau {written['tau']['image']:.4g} (image)" in summary(pairs)
    assert "of the targets are outliers" not in capsys.readouterr().err


@pytest.mark.parametrize("more", [("--tau", "0.3"), ("--no-tau",), ("--tau-text", "0.3")])
def test_the_command_refuses_both(files, more, capsys):
    assert main([*ask(files, "--outliers", "0.15"), *more]) == 2
    assert "outliers" in capsys.readouterr().err and not (files / "pairs").exists()


def test_many_outliers_are_a_warning_with_tau_that_would_do(files, capsys):
    assert main(ask(files, "--tau", "0.93")) == 0
    messages = capsys.readouterr().err
    share = PairSet.open(files / "pairs").outlier_share
    assert share > 0.5 and f"{share:.1%} of the targets are outliers (fewer than k = 5 hard pairs), at tau 0.93 (image)" in messages
    assert "cosines of random pairs: image 5% " in messages
    told = messages.partition("outliers 0.15 would be tau ")[2]
    image, text = (float(word.partition(" (")[0]) for word in told.partition(";")[0].split(" and "))
    again = ["--tau-image", str(image), "--tau-text", str(text)]
    assert main(ask(files, *again)) == 0
    assert PairSet.open(files / "pairs").noise.mean() == pytest.approx(0.15, abs=0.02)
    assert "of the targets are outliers" not in capsys.readouterr().err


def test_copies_among_the_hard_pairs_are_a_warning(files, features, capsys):
    for name, x in zip(("image", "text"), features, strict=True):
        np.save(files / f"{name}.npy", np.tile(x[:20], (10, 1)))
    assert main(ask(files, "--tau", "0")) == 0
    assert "1000 of 1000 hard pairs are copies of their target (score 0.9999 or more): max_similarity 0.9999" in capsys.readouterr().err


def test_a_share_that_no_tau_gives_is_a_warning(files, features, capsys):
    assert main(ask(files, "--outliers", "0.15")) == 0
    assert "were asked for" not in capsys.readouterr().err
    for name, x in zip(("image", "text"), features, strict=True):
        np.save(files / f"{name}.npy", np.tile(x[:20], (10, 1)))  # each pair ten times, and k is 5
    assert main(ask(files, "--outliers", "0.5")) == 0
    share = PairSet.open(files / "pairs").outlier_share
    assert f"{share:.1%} of the targets are outliers, where 50.0% were asked for; so many have equal cosines" in capsys.readouterr().err


def described(files, **more) -> None:
    for name in ("image", "text"):
        facts = {"corpus_digest": "c", "modality": name, "features_digest": file_digest(files / f"{name}.npy")} | more
        (files / f"{name}.json").write_text(json.dumps(facts))


def test_features_that_are_not_what_they_are_given_as(files, capsys):
    described(files)
    assert main(ask(files)) == 0
    image, text = (files / "image.npy").read_bytes(), (files / "text.npy").read_bytes()
    swapped = ["--image-features", str(files / "text.npy"), "--text-features", str(files / "image.npy")]
    assert main(ask(files, *swapped)) == 2
    assert "text.npy: holds text features, and is given as image features" in capsys.readouterr().err
    assert main(ask(files, "--text-features", str(files / "image.npy"))) == 2
    assert "image.npy: is given as image and as text features" in capsys.readouterr().err
    (files / "image.npy").write_bytes(text)
    assert main(ask(files)) == 2
    assert "image.npy: is not the file that image.json describes; encode the corpus again" in capsys.readouterr().err
    (files / "image.npy").write_bytes(image)
    assert main(ask(files)) == 0
