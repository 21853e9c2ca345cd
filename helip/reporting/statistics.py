"""What a difference between two runs is worth: the paired bootstrap over trainings and test items behind every interval, Student's t that
must agree with it, and the correction for deciding many things at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
BLOCK = 1 << 22  # numbers drawn at a time


class Interval(NamedTuple):
    low: float
    high: float


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

    def by_cluster(self) -> dict[str, float]:
        """Percentage points of each independent training, averaged over columns and over the rows it has."""
        mean_S = 100 * np.mean([d_Sn.mean(1) for _, d_Sn in self.columns], 0)
        member_S = np.array(self.clusters)
        return {c: float(mean_S[member_S == c].mean()) for c in dict.fromkeys(self.clusters)}


@dataclass(frozen=True, eq=False)
class Gain:
    """The mean of one or more comparisons, in percentage points."""

    value: float
    draws: np.ndarray  # [resamples], of the bootstrap
    trainings: tuple[tuple[float, int], ...]  # by start: the variance of its mean over independent trainings, and how many these are
    items: float  # the variance of the mean over test items

    @property
    def n_trainings(self) -> int:
        return min(n for _, n in self.trainings)

    def p(self, bound: float, above: bool = True) -> float:
        """One-sided p-value against "the truth is not above `bound`" (not below it): the bootstrap's or Student's, whichever is larger.

        The bootstrap of a few trainings is too sure. One training proves nothing.
        """
        return max(chance(self.draws, bound, above), self._student(bound, above))

    def _student(self, bound: float, above: bool) -> float:
        """The variances of trainings and of items add up. The degrees of freedom are the trainings' alone (Satterthwaite, Biometrics
        1946, where there are several starts): to count the items' would show, of sixty differences that are nothing, one in every
        second study of three trainings whose noise is the trainings' (`test_a_family_of_nothing_is_held_to_its_level`)."""
        if self.n_trainings < 2:
            return 1.0
        distance = (self.value - bound) * (1 if above else -1)
        between = sum(v for v, _ in self.trainings)
        if between + self.items < 1e-12:  # no spread at all: rounding, of which t would make certainty
            return 0.0 if distance > 1e-9 else 1.0
        from scipy.special import stdtr

        wobble = sum(v**2 / (n - 1) for v, n in self.trainings)
        freedom = between**2 / wobble if wobble > 0 else sum(n - 1 for _, n in self.trainings)
        return float(stdtr(freedom, -distance / (between + self.items) ** 0.5))


def gain(compared: Sequence[Paired], resamples: int = RESAMPLES) -> Gain:
    """The mean over comparisons, which weigh the same, as do the columns of each."""
    draws, items = _bootstrap(compared, resamples)
    trainings = tuple(_over_trainings(compared, start) for start in dict.fromkeys(p.start for p in compared))
    value = float(np.mean([np.mean([100 * d_Sn.mean() for _, d_Sn in p.columns]) for p in compared]))
    return Gain(value, draws, trainings, items)


def interval(draws_R: np.ndarray, level: float = LEVEL) -> Interval:
    low, high = np.quantile(draws_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _bootstrap(compared: Sequence[Paired], resamples: int) -> tuple[np.ndarray, float]:
    """[resamples] of the mean, in points, and its variance over items alone.

    A resample draws the trainings of a start once, whatever they are compared on, and the items of a test set once, whoever is
    compared on them: what two comparisons or two columns have in common varies with both.
    """
    weights = [_training_draws(p, resamples) / (len(compared) * len(p.columns)) for p in compared]
    sets: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for p, weights_RS in zip(compared, weights, strict=True):
        for name, d_Sn in p.columns:
            sets.setdefault((name, d_Sn.shape[1]), []).append((weights_RS, d_Sn))
    total_R, variance = np.zeros(resamples), 0.0
    for (name, n), parts in sets.items():
        weights_RS, d_Sn = np.concatenate([w for w, _ in parts], 1), np.concatenate([d for _, d in parts]).astype(np.float64)
        total_R += _over_items(weights_RS, d_Sn, _generator("items", name, str(n)))
        each_n = sum(d.mean(0) * w[0].sum() for w, d in parts)
        variance += float(np.var(each_n, ddof=1)) / n if n > 1 else 0.0
    return 100 * total_R, 100**2 * variance


def _over_items(weights_RS: np.ndarray, d_Sn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # Items that differ alike everywhere are exchangeable: drawing how many of each kind is drawing the items, only faster.
    kinds_SK, count_K = np.unique(d_Sn, axis=1, return_counts=True)
    n, room = int(count_K.sum()), max(1, BLOCK // len(count_K))
    parts = [weights_RS[first : first + room] for first in range(0, len(weights_RS), room)]
    return np.concatenate([((w @ kinds_SK) * rng.multinomial(n, count_K / n, size=len(w))).sum(1) / n for w in parts])


def _training_draws(p: Paired, resamples: int) -> np.ndarray:
    """[resamples, S]: the weight of each training in each resample, rows adding up to 1."""
    names, member_S = np.unique(np.array(p.clusters), return_inverse=True)
    rng = _generator("trainings", p.start, *names)
    weights_RS = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)[:, member_S]
    return weights_RS / weights_RS.sum(1, keepdims=True)


def _generator(*key: str) -> np.random.Generator:
    return np.random.default_rng(list("\0".join(key).encode()))


def _over_trainings(compared: Sequence[Paired], start: str) -> tuple[float, int]:
    """The variance of what a start's comparisons add to the mean, over the independent trainings that they share."""
    each = [p.by_cluster() for p in compared if p.start == start]
    shared = [c for c in each[0] if all(c in other for other in each)]
    if len(shared) < 2:
        return 0.0, len(shared)
    means = [np.mean([e[c] for e in each]) for c in shared]
    return (len(each) / len(compared)) ** 2 * float(np.var(means, ddof=1)) / len(shared), len(shared)


def chance(draws_R: np.ndarray, bound: float, above: bool = True) -> float:
    """One-sided p-value against "the truth is not above `bound`" (or not below it): the share of resamples that disagree."""
    disagree = draws_R <= bound if above else draws_R >= bound
    return float((1 + disagree.sum()) / (1 + len(draws_R)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p-values that hold the chance of any false decision to the level (Holm 1979)."""
    order = np.argsort(np.asarray(p_values, np.float64), kind="stable")
    adjusted, running = [0.0] * len(order), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted
