"""Two runs on the same trainings and the same test items, and how far their trainings scatter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Paired:
    """Two runs on the same trainings and the same test items.

    columns: for each column its test set and the difference of the hits, ours minus theirs [S trainings, n items], in -1 to 1.
    clusters [S]: what each training is an independent draw of; refinements of one start checkpoint share theirs.
    start: where the trainings come from. Comparisons of one start are of the same trainings, those of two starts are independent.
    """

    columns: tuple[tuple[str, np.ndarray], ...]
    clusters: tuple[str, ...]
    start: str = ""


@dataclass(frozen=True)
class Spread:
    """How far the independent trainings of one start scatter; points squared."""

    variance: float  # of one training, over n of them
    expected: float  # what it would be if trainings erred independently on every item: their interaction with the items
    n: int

    def scaled(self, weight: float) -> "Spread":
        return Spread(weight**2 * self.variance, weight**2 * self.expected, self.n)


def spread(compared: Sequence[Paired]) -> Spread:
    """Of the mean of comparisons of one start, over the trainings that all of them have. Two-way analysis of variance, trainings by items,
    with as many columns as a test set has taken together."""
    shared = [c for c in dict.fromkeys(compared[0].clusters) if all(c in p.clusters for p in compared)]
    if len(shared) < 2:
        return Spread(0.0, 0.0, len(shared))
    sets: dict[tuple[str, int], np.ndarray] = {}
    for p in compared:
        member_S = np.array(p.clusters)
        for name, d_Sn in p.columns:
            mean_Cn = np.stack([d_Sn[member_S == c].mean(0) for c in shared]) * (100 / len(compared) / len(p.columns))
            key = name, d_Sn.shape[1]
            sets[key] = sets[key] + mean_Cn if key in sets else mean_Cn
    each_C = sum(mean_Cn.mean(1) for mean_Cn in sets.values())
    return Spread(float(np.var(each_C, ddof=1)), sum(map(_interaction, sets.values())), len(shared))


def _interaction(mean_Cn: np.ndarray) -> float:
    """The interaction's mean square, of the mean over n items."""
    rest_Cn = mean_Cn - mean_Cn.mean(1, keepdims=True) - mean_Cn.mean(0) + mean_Cn.mean()
    count, n = rest_Cn.shape
    return float((rest_Cn**2).sum()) / ((count - 1) * (n - 1)) / n if n > 1 else 0.0
