"""What a difference between two runs is worth: the paired bootstrap over trainings and test items behind every interval, Student's t that
must agree with it, and the correction for deciding many things at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from helip.reporting.noise import ALONE, Noise
from helip.reporting.paired import Paired, Spread, spread

RESAMPLES = 10_000
LEVEL = 0.95
BLOCK = 1 << 22  # numbers drawn at a time
NOTHING = 1e-6  # points: less is rounding


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Gain:
    """The mean of one or more comparisons, in percentage points."""

    value: float
    draws: np.ndarray  # [resamples], of the bootstrap
    trainings: tuple[Spread, ...]  # of each start, as it enters the mean
    items: float  # the variance of the mean over test items, without what the trainings' own errors make of it

    @property
    def n_trainings(self) -> int:
        return min(s.n for s in self.trainings)

    def interval(self, noise: Noise = ALONE) -> Interval:
        """95 %, in -100 to 100."""
        return interval(np.clip(self._drawn(noise), -100, 100))

    def p(self, bound: float, above: bool = True, noise: Noise = ALONE) -> float:
        """One-sided p-value against "the truth is not above `bound`" (not below it): the bootstrap's or Student's, whichever is larger.

        One training proves nothing.
        """
        if self.n_trainings < 2:
            return 1.0
        return max(chance(self._drawn(noise), bound, above), self._student(bound, above, noise))

    def _variance(self, noise: Noise) -> tuple[float, float]:
        """Of the mean, and its degrees of freedom: the variances of trainings, moderated by what the study knows of them, and of items
        add up. The degrees of freedom are the trainings' alone (Satterthwaite, Biometrics 1946, where there are several starts): to
        count the items' would show, of sixty differences that are nothing, one in every second study of three trainings whose noise is
        the trainings' (`test_a_family_of_nothing_is_held_to_its_level`)."""
        known = [(variance / s.n, freedom) for s in self.trainings for variance, freedom in [noise.moderated(s)]]
        between, wobble = sum(v for v, _ in known), sum(v**2 / freedom for v, freedom in known)
        return between + self.items, between**2 / wobble if wobble > 0 else sum(freedom for _, freedom in known)

    def _drawn(self, noise: Noise) -> np.ndarray:
        """The bootstrap's draws, as wide as Student's interval. To draw trainings and items both counts their interaction three times
        (Owen, Annals of Applied Statistics 2007), and of few trainings the bootstrap is too sure: the first makes it too wide, the
        second too narrow."""
        width = self.draws.std()
        if self.n_trainings < 2 or width < NOTHING:
            return self.draws
        from scipy.special import ndtri, stdtrit

        variance, freedom = self._variance(noise)
        edge = (1 + LEVEL) / 2
        return self.value + (self.draws - self.value) * (variance**0.5 / width * stdtrit(freedom, edge) / ndtri(edge))

    def _student(self, bound: float, above: bool, noise: Noise) -> float:
        from scipy.special import stdtr

        variance, freedom = self._variance(noise)
        distance = (self.value - bound) * (1 if above else -1)
        if variance < NOTHING**2:  # no spread at all: rounding, of which t would make certainty
            return 0.0 if distance > NOTHING else 1.0
        return float(stdtr(freedom, -distance / variance**0.5))


def gain(compared: Sequence[Paired], resamples: int = RESAMPLES) -> Gain:
    """The mean over comparisons, which weigh the same, as do the columns of each."""
    draws, items = _bootstrap(compared, resamples)
    by_start = [[p for p in compared if p.start == start] for start in dict.fromkeys(p.start for p in compared)]
    trainings = tuple(spread(of_one).scaled(len(of_one) / len(compared)) for of_one in by_start)
    value = float(np.mean([np.mean([100 * d_Sn.mean() for _, d_Sn in p.columns]) for p in compared]))
    return Gain(value, draws, trainings, max(0.0, items - sum(s.expected / s.n for s in trainings if s.n)))


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
