"""The paired bootstrap behind every interval, over seeds (trainings) and over test items, both drawn with replacement; and the
correction for deciding many claims at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
BLOCK = 1 << 22  # numbers drawn at a time


class Interval(NamedTuple):
    low: float
    high: float


def paired_bootstrap(
    ours: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    clusters: Sequence[str] | None = None,
) -> Interval:
    """Percentile interval, in percentage points, of the mean difference between two methods over one or more sets."""
    return interval(paired_draws(ours, reference, resamples, seed, clusters), level)


def interval(draws_R: np.ndarray, level: float = LEVEL) -> Interval:
    low, high = np.quantile(draws_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_draws(
    ours: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: Sequence[str] | None = None,
) -> np.ndarray:
    """float64 [resamples]: the mean difference in percentage points as each resample sees it.

    `ours[c]` and `reference[c]` are hits [S, n_c], in 0 to 1, on set c: S trainings paired row by row, n_c test items paired column by
    column. A resample draws the trainings once for all sets (a training shows on every set alike) and each set's items by themselves;
    sets weigh the same. `clusters` [S] names the start checkpoint of each training: those that share one are drawn together, as they
    are not independent. With one seed only the items vary. Few seeds make a narrow interval: read it beside n_seeds.
    """
    rng = np.random.default_rng(seed)
    S = ours[0].shape[0]
    weights_RS = _seed_draws(rng, list(range(S)) if clusters is None else list(clusters), resamples)
    total_R = np.zeros(resamples)
    for a_Sn, b_Sn in zip(ours, reference, strict=True):
        # Items that differ alike in every seed are exchangeable: drawing how many of each kind is drawing the items, only faster.
        kinds_SK, count_K = np.unique(a_Sn.astype(np.float64) - b_Sn, axis=1, return_counts=True)
        n, room = int(count_K.sum()), max(1, BLOCK // len(count_K))
        for first in range(0, resamples, room):
            weights_rS = weights_RS[first : first + room]
            item_draws_rK = rng.multinomial(n, count_K / n, size=len(weights_rS))
            total_R[first : first + room] += ((weights_rS @ kinds_SK) * item_draws_rK).sum(1) / n
    return 100 * total_R / len(ours)


def _seed_draws(rng: np.random.Generator, clusters: list, resamples: int) -> np.ndarray:
    """[resamples, S]: the weight of each training in each resample, rows adding up to 1."""
    names, member_S = np.unique(np.array(clusters), return_inverse=True)
    drawn_RG = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    weights_RS = drawn_RG[:, member_S]
    return weights_RS / weights_RS.sum(1, keepdims=True)


def chance(draws_R: np.ndarray, bound: float, above: bool = True) -> float:
    """One-sided p-value against "the truth is not above `bound`" (or not below it): the share of resamples that disagree."""
    disagree = draws_R <= bound if above else draws_R >= bound
    return float((1 + disagree.sum()) / (1 + len(draws_R)))


def chance_over_seeds(differences_G: Sequence[float], bound: float, above: bool = True) -> float:
    """The same by Student's t over independent trainings: the bootstrap of a few seeds alone is too sure. One training proves nothing."""
    values_G = (np.asarray(differences_G, np.float64) - bound) * (1 if above else -1)
    if len(values_G) < 2:
        return 1.0
    if np.ptp(values_G) < 1e-9:  # no spread at all: rounding, of which t would make certainty
        return 0.0 if values_G.mean() > 1e-9 else 1.0
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(values_G, 0.0, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p-values that hold the chance of any false decision to the level (Holm 1979)."""
    order = np.argsort(np.asarray(p_values, np.float64), kind="stable")
    adjusted, running = [0.0] * len(order), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted
