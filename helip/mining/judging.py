"""How good mined pairs are, by what mining did not see. Numpy only: arrays in, numbers out."""

from dataclasses import dataclass

import numpy as np

from helip.mining.pairs import PairSet


@dataclass(frozen=True)
class Detector:
    """A pair set's noise rule as a detector of mismatched pairs, in 0 to 1; None where nothing was left out, or nothing is mismatched."""

    auc: float | None  # of the levels that the rule cuts
    precision: float | None  # of the noise, the share that is mismatched
    recall: float | None  # of the mismatched, the share that is noise


def detector(level_N: np.ndarray, noise_N: np.ndarray, mismatched_N: np.ndarray) -> Detector:
    """Returns how well a noise rule finds mismatched pairs. level_N: what the rule cuts, low for noise; -inf is the lowest."""
    both, noise, wrong = (int(x.sum()) for x in (noise_N & mismatched_N, noise_N, mismatched_N))
    right_N = ~mismatched_N
    auc = _auc(level_N[right_N], level_N[mismatched_N]) if wrong and right_N.any() else None
    return Detector(auc, both / noise if noise else None, both / wrong if wrong else None)


def _auc(high: np.ndarray, low: np.ndarray) -> float:
    """The chance that one of `high` is above one of `low`, ties counting half."""
    order = np.sort(low)
    below, not_above = np.searchsorted(order, high, "left"), np.searchsorted(order, high, "right")
    return float((below + not_above).mean() / 2 / len(low))


def recalled(pairs: PairSet, exact: PairSet) -> np.ndarray:
    """Returns the share of each target's exact hard pairs that a pair set has too, float64 [N] in 0 to 1; NaN where either has none."""
    result = np.full(len(exact), np.nan)
    for i in range(len(exact)):
        ours, theirs = pairs.hard(i), exact.hard(i)
        if len(ours) and len(theirs):
            result[i] = np.isin(theirs, ours).mean()
    return result


def by_target(pairs: PairSet, values: np.ndarray) -> np.ndarray:
    """Returns the mean over each target's hard pairs, float64 [N], of a value of every entry; NaN where a target has none."""
    i = np.repeat(np.arange(len(pairs)), np.diff(pairs.offsets))
    with np.errstate(invalid="ignore"):
        return np.bincount(i, values, minlength=len(pairs)) / np.bincount(i, minlength=len(pairs))
