import numpy as np
import pytest
from pydantic import ValidationError
from slow_agreement import places

from helip.config import LemonSettings, Selection
from helip.errors import HelipError
from helip.io import digest
from helip.selection.mixture import mixture, ranks
from helip.selection.soft import as_logits, soft_cap_sampling

BOTH = {"image_encoder": "dino", "text_encoder": "minilm"}


def test_ranks_are_shares_and_ties_share_their_places():
    scores = np.array([3.0, -1.0, 3.0, 100.0])
    assert ranks(scores).tolist() == [0.625, 0.25, 0.625, 1.0] == places(scores.tolist())


def test_a_mixture_weights_ranks_not_values():
    scores = {"clip_score": np.array([1.0, 2.0, 3.0]), "agreement": np.array([3e6, 1.0, 2.0]), "unused": np.zeros(7)}
    # ranks 1/3 2/3 1 and 1 1/3 2/3, weighted 1 to 3
    ranked = mixture(scores, {"clip_score": 1, "agreement": 3})
    assert ranked.tolist() == pytest.approx([(1 / 3 + 3) / 4, (2 / 3 + 1) / 4, (1 + 2) / 4])
    assert mixture(scores, {"agreement": 0.2}).tolist() == pytest.approx([1, 1 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("scores", "weights", "message"),
    [
        ({"a": np.zeros(3)}, {"a": 1, "b": 1}, "give each of a a weight above 0, and no other name"),
        ({"a": np.zeros(3)}, {"a": 0}, "a weight above 0"),
        ({"a": np.zeros(3)}, {}, "a weight above 0"),
        ({"a": np.zeros(3), "b": np.zeros(4)}, {"a": 1, "b": 1}, "scores of 3 and 4 pairs are not of one corpus"),
        ({"a": np.array([0, np.nan])}, {"a": 1}, "the score of pair 1 and of 0 more is NaN"),
    ],
)
def test_a_bad_mixture_gets_one_sentence(scores, weights, message):
    with pytest.raises(HelipError, match=message):
        mixture(scores, weights)


def test_soft_draws_are_in_proportion_to_the_score():
    logits = np.log(np.array([8.0, 4.0, 2.0, 1.0, 1.0]))
    drawn = soft_cap_sampling(logits, 16_000, penalty=0.0, draws=1)
    assert np.bincount(drawn, minlength=5) / 1000 == pytest.approx([8, 4, 2, 1, 1], abs=0.4)


def test_a_penalty_caps_repetition():
    logits = np.linspace(-3, 3, 50)
    free, capped = (np.bincount(soft_cap_sampling(logits, 500, penalty=p, draws=5), minlength=50) for p in (0.0, 0.5))
    assert free.max() > 2 * capped.max() and capped.argmax() > 40
    assert (capped > 0).sum() > (free > 0).sum()


def test_draws_of_one_round_differ_and_the_best_come_first():
    drawn = soft_cap_sampling(np.array([50.0, 0.0, 0.0, 100.0]), 8, penalty=0.0, draws=4)
    assert sorted(drawn[:4].tolist()) == sorted(drawn[4:].tolist()) == [0, 1, 2, 3]
    assert drawn[:2].tolist() == [3, 0]


def test_an_epoch_is_a_function_of_seed_and_epoch():
    logits = as_logits(np.arange(200.0))
    draw = lambda **at: soft_cap_sampling(logits, 150, **at).tolist()  # noqa: E731
    assert draw(seed=1, epoch=2) == draw(seed=1, epoch=2)
    assert draw(seed=1, epoch=2) != draw(seed=1, epoch=3) != draw(seed=2, epoch=3)
    assert draw(seed=1, epoch=2)[:100] == soft_cap_sampling(logits, 100, seed=1, epoch=2).tolist()


def test_logits_are_standardised_scores():
    assert as_logits(np.array([1.0, 3.0]), spread=2.0).tolist() == [-2, 2]
    assert as_logits(np.full(3, 0.7)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("logits", "settings", "message"),
    [
        (np.array([0.0, np.inf]), {"size": 1}, "one finite number per pair"),
        (np.zeros((2, 2)), {"size": 1}, "one finite number per pair"),
        (np.zeros(3), {"size": 0}, "0 pairs, 1 at a time"),
        (np.zeros(3), {"size": 1, "draws": 4}, "at most 3 draws at a time"),
        (np.zeros(3), {"size": 1, "penalty": -1}, "penalty of at least 0"),
    ],
)
def test_bad_soft_selection_gets_one_sentence(logits, settings, message):
    with pytest.raises(HelipError, match=message):
        soft_cap_sampling(logits, **settings)


def test_declared_scores_have_weights():
    assert Selection(score={"clip_score": 1, "agreement": 2}, **BOTH).scores == {"clip_score": 1, "agreement": 2}
    assert Selection(score="lemon").scores == {"lemon": 1}
    assert Selection(score="lemon", lemon={"k": 7}).lemon == LemonSettings(k=7)


def test_digests_of_earlier_selections_stay():
    assert digest(Selection(keep=0.75)) == "c6e4ef1cc0c6870f"
    assert digest(Selection(score="norm_sim", target="cifar10", p="inf")) == "a920bd64b3961626"
    assert digest(Selection(score="agreement", **BOTH)) != digest(Selection(score="agreement", k=10, **BOTH))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "agreement"}, "score agreement needs image_encoder and text_encoder"),
        ({"score": {"clip_score": 1, "agreement": 1}}, "score agreement needs image_encoder and text_encoder"),
        ({"score": {"clip_score": 1, "ridge": 1}}, "score ridge needs image_encoder and text_encoder"),
        ({"score": "agreement", "image_encoder": "dino"}, "give image_encoder with text_encoder"),
        ({"score": "agreement", "image_features": "I.npy", "text_features": "T.npy", **BOTH}, "or image_features with text_features"),
        ({"score": "clip_score", **BOTH}, "belong to scores agreement, ridge, lemon"),
        ({"score": {"norm_sim": 1}}, "target belongs to score norm_sim"),
        ({"score": {"clip_score": 0}}, "greater than 0"),
        ({"score": {"truth": 1}}, "Input should be"),
        ({"score": "clip_score", "weights": {"clip_score": 1}}, "no other score has any"),
        ({"score": {}}, "a mixture needs the weights of its scores"),
        ({"score": "lemon", "lemon": {"beta": -1}}, "greater than or equal to 0"),
        ({"score": "agreement", "k": 0, **BOTH}, "greater than 0"),
    ],
)
def test_what_a_selection_lacks_is_said(settings, message):
    with pytest.raises(ValidationError, match=message):
        Selection(**settings)
