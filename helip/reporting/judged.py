"""Judgements of pair sets, averaged over the corpora that were mined alike, with intervals over photographs or over corpora."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helip.io import load_array, read_json
from helip.stages.judge import BY_PHOTOGRAPH


@dataclass(frozen=True)
class Judged:
    """A mean with its 95 % interval, which is None where one value is all there is; NaN where nothing is known."""

    value: float
    low: float | None
    high: float | None


def judged_mean(folders: Sequence[Path], fact: str) -> Judged:
    """Returns the mean of one fact over judgements; NaN where some has none.

    What each photograph says (`BY_PHOTOGRAPH`) is averaged over the corpora first, and its interval is over photographs, which the corpora
    share. Of other facts the interval is over corpora.
    """
    values = [read_json(folder / "judged.json")["facts"].get(fact) for folder in folders]
    if any(value is None for value in values):
        return Judged(float("nan"), None, None)
    if fact in BY_PHOTOGRAPH:
        column = BY_PHOTOGRAPH.index(fact)
        anchors = [load_array(folder / "anchors.npy", "judge the pairs again") for folder in folders]
        each_CN = np.stack([rows[:, column] for rows in anchors]).astype(np.float64)
        known_N = ~np.isnan(each_CN).all(0)
        return mean_of(np.nanmean(each_CN[:, known_N], 0))
    return mean_of(np.array(values, np.float64))


def mean_of(values: np.ndarray) -> Judged:
    """Returns the mean of independent values with Student's interval."""
    from scipy.special import stdtrit

    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Judged(mean, None, None)
    half = float(values.std(ddof=1) / n**0.5 * stdtrit(n - 1, 0.975))
    return Judged(mean, mean - half, mean + half)
