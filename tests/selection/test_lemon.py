import numpy as np
import pytest
from slow_agreement import slow_lemon, unit
from test_agreement import corpus

from helip.config import LemonSettings
from helip.errors import HelipError
from helip.selection import lemon_tuning
from helip.selection.lemon import Beside, LemonDistances, lemon, lemon_distances, own_distances, with_own
from helip.selection.lemon_tuning import Draw, auc, best_f1, tune

SETTINGS = LemonSettings(k=6, beta=3, gamma=7, tau1_n=0.5, tau2_n=2, tau1_m=1, tau2_m=4)


def joint(size: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of one space, and which pairs are mismatched."""
    image, text, mismatched = corpus(size, seed)
    rng = np.random.default_rng(9)
    return image @ rng.standard_normal((40, 24)).astype(np.float32), text, mismatched


def test_a_hand_made_pair():
    # two neighbours: by image at distances 0.1 and 0.3 with captions at 0.5 and 0.7; by caption at 0.2 and 0.2 with images at 0.4 and 0.8
    near = {"images": ([0.1, 0.3], [0.5, 0.7], [0.6, 0.2]), "texts": ([0.2, 0.2], [0.4, 0.8], [0.0, 1.0])}
    beside = {name: Beside(*(np.array([row], np.float32) for row in rows)) for name, rows in near.items()}
    d = LemonDistances(np.array([0.9], np.float32), **beside)
    plain = LemonSettings(k=2, beta=10, gamma=1, tau1_n=0, tau2_n=0, tau1_m=0, tau2_m=0)
    assert d.score(plain)[0] == pytest.approx(-(0.9 + 10 * 0.6 + 0.6), abs=1e-6)
    assert d.score(plain.model_copy(update={"k": 1}))[0] == pytest.approx(-(0.9 + 10 * 0.5 + 0.4), abs=1e-6)
    n = (0.5 * np.exp(-0.1 - 2 * 0.6) + 0.7 * np.exp(-0.3 - 2 * 0.2)) / 2
    m = (0.4 * np.exp(-0.6) + 0.8 * np.exp(-0.6 - 1)) / 2
    whole = LemonSettings(k=2, beta=10, gamma=1, tau1_n=1, tau2_n=2, tau1_m=3, tau2_m=1)
    assert d.score(whole)[0] == pytest.approx(-(0.9 + 10 * n + m), abs=1e-6)


def test_lemon_in_a_joint_space_is_that_of_the_slow_twin():
    image, text, _ = joint()
    own = own_distances(image, text)
    assert own == pytest.approx(1 - (unit(image) * unit(text)).sum(1), abs=1e-6)
    values = SETTINGS.model_dump()
    assert -lemon(image, text, SETTINGS, own=own) == pytest.approx(slow_lemon(image, text, own, **values), abs=1e-4)


def test_lemon_in_two_spaces_takes_own_distances_from_a_third():
    image, text, _ = corpus()
    own = own_distances(*joint()[:2])
    assert -lemon(image, text, SETTINGS, own=own) == pytest.approx(slow_lemon(image, text, own, **SETTINGS.model_dump()), abs=1e-4)
    alone = SETTINGS.model_copy(update={"tau2_n": 0.0, "tau2_m": 0.0})
    assert -lemon(image, text, alone) == pytest.approx(slow_lemon(image, text, np.zeros(150), **alone.model_dump()), abs=1e-4)
    without = with_own(lemon_distances(image, text, 6, own=own), keep=False)
    assert (without.score(alone) == lemon(image, text, alone)).all()


def test_unweighted_neighbour_terms_are_those_of_agreement():
    from helip.selection.agreement import neighbour_terms

    image, text, _ = corpus()
    terms = neighbour_terms(image, text, 6)
    zero = LemonSettings(k=6, beta=1, gamma=0, tau1_n=0, tau2_n=0, tau1_m=0, tau2_m=0)
    assert lemon(image, text, zero) == pytest.approx(terms.text_among_images - 1, abs=1e-6)
    assert lemon(image, text, zero.model_copy(update={"beta": 0.0, "gamma": 1.0})) == pytest.approx(terms.image_among_texts - 1, abs=1e-6)


def test_shards_have_the_rows_of_the_whole():
    image, text, _ = joint()
    own = own_distances(image, text)
    parts = [lemon(image, text, SETTINGS, own=own, shard=(i, 3)) for i in range(3)]
    assert (np.concatenate(parts) == lemon(image, text, SETTINGS, own=own)).all()


def test_f1_is_that_of_the_best_threshold():
    errors, mismatched = np.array([5.0, 4.0, 4.0, 1.0, 0.0]), np.array([True, False, True, True, False])
    # thresholds: {5}: 2/4; {5, 4, 4}: 4/6; {5, 4, 4, 1}: 6/7; all: 6/8. Equal errors are never told apart.
    assert best_f1(errors, mismatched) == pytest.approx(6 / 7)
    assert best_f1(np.zeros(5), mismatched) == pytest.approx(6 / 8)
    assert auc(errors, mismatched) == pytest.approx((2 + 1.5 + 1) / 6)


@pytest.mark.parametrize("criterion", ["f1", "auc"])
def test_tuning_reaches_what_it_says_and_beats_the_defaults(criterion, monkeypatch):
    monkeypatch.setattr(lemon_tuning, "TAUS", (0, 5))
    image, text, mismatched = joint()
    draw = Draw(lemon_distances(image, text, 10, own=own_distances(image, text)), mismatched)
    measure = {"f1": best_f1, "auc": auc}[criterion]
    grid = tune([draw], criterion, ks=(2, 10), weights=(0, 10, 50), evaluations=0)
    optimum = tune([draw, draw], criterion, ks=(2, 10), weights=(0, 10, 50), starts=(1.0,), evaluations=60)
    assert measure(-draw.distances.score(grid.settings), mismatched) == pytest.approx(grid.value, abs=1e-3)
    assert measure(-draw.distances.score(optimum.settings), mismatched) == pytest.approx(optimum.value, abs=1e-6)
    default = measure(-draw.distances.score(LemonSettings(k=10)), mismatched)
    assert optimum.value >= grid.value >= default - 0.02 and grid.value > measure(draw.distances.own, mismatched)


def test_without_a_model_own_distances_are_never_asked_for(monkeypatch):
    monkeypatch.setattr(lemon_tuning, "TAUS", (0, 5))
    image, text, mismatched = corpus()
    optimum = tune([Draw(lemon_distances(image, text, 5), mismatched)], ks=(5,), weights=(0, 10), starts=(), evaluations=30)
    assert (optimum.settings.tau2_n, optimum.settings.tau2_m) == (0, 0)
    with pytest.raises(HelipError, match="needs a contrastive model; set tau2 to 0"):
        lemon(image, text)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda image, text: own_distances(image, text), "width 40 and text features of width 24 share no space"),
        (lambda image, text: lemon_distances(image, text, 5, own=np.zeros(3, np.float32)), "one finite number for each of 150 pairs"),
        (lambda image, text: lemon_distances(image, text, 5, own=np.full(150, np.nan)), "one finite number for each of 150 pairs"),
        (lambda image, text: lemon_distances(image, text, 5).score(SETTINGS), "k = 6, and only 5 neighbours are held"),
        (lambda image, text: lemon(image, text, LemonSettings(k=150)), "k = 150: a target has only 149 candidates"),
        (lambda image, text: tune([], "f1"), "labelled draws, each with mismatched and matched"),
        (lambda image, text: tune([], "recall"), "criterion 'recall' is none; write f1 or auc"),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(HelipError, match=message):
        call(*corpus()[:2])
