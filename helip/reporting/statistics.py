"""The paired bootstrap behind every interval: over seeds (trainings) and over test items, both drawn with replacement."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    low: float
    high: float


def paired_bootstrap(
    ours: Sequence[np.ndarray], reference: Sequence[np.ndarray], resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile interval, in percentage points, of the mean difference between two methods over one or more sets.

    `ours[c]` and `reference[c]` are hits [S, n_c] on set c: S seeds paired row by row, n_c test items paired column by column. A
    resample draws the seeds once for all sets (a training shows on every set alike) and each set's items by themselves; sets weigh
    the same. With one seed only the items vary. Few seeds make a narrow interval: read it beside n_seeds.
    """
    rng = np.random.default_rng(seed)
    S = ours[0].shape[0]
    seed_draws_RS = rng.multinomial(S, np.full(S, 1 / S), size=resamples)
    total_R = np.zeros(resamples)
    for a_Sn, b_Sn in zip(ours, reference, strict=True):
        # Items that differ alike in every seed are exchangeable: drawing how many of each kind is drawing the items, only faster.
        kinds_SK, count_K = np.unique(a_Sn.astype(np.float64) - b_Sn, axis=1, return_counts=True)
        n = int(count_K.sum())
        item_draws_RK = rng.multinomial(n, count_K / n, size=resamples)
        total_R += ((seed_draws_RS @ kinds_SK) * item_draws_RK).sum(1) / (S * n)
    low, high = np.quantile(100 * total_R / len(ours), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
