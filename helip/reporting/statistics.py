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
    seed_weights_RS = rng.multinomial(S, np.full(S, 1 / S), size=resamples) / S
    total_R = np.zeros(resamples)
    for a_Sn, b_Sn in zip(ours, reference, strict=True):
        difference_Sn = a_Sn.astype(np.float64) - b_Sn
        n = difference_Sn.shape[1]
        for r in range(0, resamples, 500):  # bounds memory: 500 x n weights at a time
            block = seed_weights_RS[r : r + 500]
            item_weights_Rn = rng.multinomial(n, np.full(n, 1 / n), size=len(block)) / n
            total_R[r : r + 500] += ((block @ difference_Sn) * item_weights_Rn).sum(1)
    low, high = np.quantile(100 * total_R / len(ours), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
