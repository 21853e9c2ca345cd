"""LEMoN's hyperparameters from labelled validation draws, as its authors choose them (their run_lemon.py and experiments.py).

Theirs is a grid of beta, gamma, tau1 and tau2, and Powell's and Nelder and Mead's searches from four starts, for the F1 of mismatches at
the best threshold; k is one of eight. Here the threshold is the best of all, where they search for it, the two searches also start from
the grid's best point and follow the grid's best k alone, and their gradient descent on a differentiable stand-in for F1 is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from helip.config.selection import LemonSettings
from helip.errors import HelipError
from helip.selection.lemon import LemonDistances

KS = (1, 2, 5, 10, 15, 20, 30, 50)
WEIGHTS = tuple(range(0, 101, 5))  # of beta and of gamma
TAUS = (0, 1, 5, 10)  # the same for images and for captions
STARTS = (0.0, 0.5, 1.0, 10.0)
NAMES = ("beta", "gamma", "tau1_n", "tau2_n", "tau1_m", "tau2_m")
Measure = Callable[[np.ndarray, np.ndarray], float]  # of (errors, mismatched)
BOUNDS = ((0, 10_000),) * 2 + ((0, 50),) * 4


@dataclass(frozen=True)
class Draw:
    """A labelled validation draw: its distances (whole, not a shard), and which of its pairs are mismatched, bool [N]."""

    distances: LemonDistances
    mismatched: np.ndarray


@dataclass(frozen=True)
class Tuned:
    """The settings chosen, and the mean of `criterion` over the draws that they reached."""

    settings: LemonSettings
    value: float
    criterion: str


def tune(
    draws: Sequence[Draw],
    criterion: str = "f1",
    ks: Sequence[int] = KS,
    weights: Sequence[float] = WEIGHTS,
    starts: Sequence[float] = STARTS,
    evaluations: int | None = None,
) -> Tuned:
    """The hyperparameters with the largest mean of `criterion` over the draws: "f1" at the best threshold, or "auc".

    weights: the grid of beta and of gamma. starts: where the searches begin beside the grid's best point, each a value for all
    hyperparameters. evaluations: of the criterion that one search may spend, None for as many as it wants, 0 for no search. Raises
    HelipError where a draw has no mismatched or no matched pair, or holds fewer than max(ks) neighbours, and for another criterion.
    """
    measure = {"f1": best_f1, "auc": auc}.get(criterion)
    if measure is None:
        raise HelipError(f"LEMoN: criterion '{criterion}' is none; write f1 or auc")
    if not draws or any(d.mismatched.all() or not d.mismatched.any() for d in draws):
        raise HelipError("LEMoN: tuning needs labelled draws, each with mismatched and matched pairs")
    tau2s = TAUS if draws[0].distances.own is not None else (0,)
    candidates = [_best_weights(draws, tau1, tau2, k, weights, measure) for k, tau1, tau2 in product(ks, TAUS, tau2s)]
    best = max(candidates, key=lambda tuned: tuned[1])  # the first of equals: the smallest k
    if evaluations != 0:
        points = [[s] * len(NAMES) for s in starts] + [[getattr(best[0], name) for name in NAMES]]
        methods = product(points, ("Powell", "Nelder-Mead"))
        optimum = [_searched(draws, best[0].k, point, method, measure, evaluations) for point, method in methods]
        best = max([best, *optimum], key=lambda tuned: tuned[1])
    return Tuned(*best, criterion)


def _best_weights(
    draws: Sequence[Draw], tau1: float, tau2: float, k: int, weights: Sequence[float], measure: Measure
) -> tuple[LemonSettings, float]:
    """The best beta and gamma of the grid."""
    parts = []
    for draw in draws:
        d = draw.distances
        own = np.zeros(len(draw.mismatched)) if d.own is None else d.own.astype(np.float64)
        parts.append((own, d.images.mean(tau1, tau2, k), d.texts.mean(tau1, tau2, k), draw.mismatched))
    values = {
        (beta, gamma): np.mean([measure(own + beta * n + gamma * m, bad) for own, n, m, bad in parts])
        for beta, gamma in product(weights, weights)
    }
    (beta, gamma), value = max(values.items(), key=lambda item: item[1])
    return LemonSettings(k=k, beta=beta, gamma=gamma, tau1_n=tau1, tau2_n=tau2, tau1_m=tau1, tau2_m=tau2), float(value)


def _searched(
    draws: Sequence[Draw], k: int, start: Sequence[float], method: str, measure: Measure, evaluations: int | None
) -> tuple[LemonSettings, float]:
    from scipy.optimize import minimize

    owned = draws[0].distances.own is not None

    def settings(x: np.ndarray) -> LemonSettings:
        values = {name: float(np.clip(v, *bound)) for name, v, bound in zip(NAMES, x, BOUNDS, strict=True)}
        return LemonSettings(k=k, **(values if owned else values | {"tau2_n": 0.0, "tau2_m": 0.0}))

    def loss(x: np.ndarray) -> float:
        return -float(np.mean([measure(-d.distances.score(settings(x)), d.mismatched) for d in draws]))

    optimum = minimize(
        loss, np.asarray(start, float), method=method, bounds=BOUNDS, options={} if evaluations is None else {"maxfev": evaluations}
    )
    return settings(optimum.x), -loss(optimum.x)


def best_f1(errors: np.ndarray, mismatched: np.ndarray) -> float:
    """The F1 of {error >= threshold} as the set of mismatches, at the best threshold."""
    order = np.argsort(-errors, kind="stable")
    hits, ranked = np.cumsum(mismatched[order]), errors[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # equal errors lie on one side of a threshold
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + mismatched.sum())
    return float(f1[last].max())


def auc(errors: np.ndarray, mismatched: np.ndarray) -> float:
    """Returns the share of (mismatched, matched) pairs in which the mismatched one has the larger error, ties counted half."""
    from helip.selection.keep import detection

    return float(detection(-errors, np.ones(len(errors), bool), mismatched)["auc"] or 0)
