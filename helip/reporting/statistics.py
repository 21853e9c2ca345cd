"""What a difference between two runs is worth: the paired bootstrap over trainings and test items behind every interval, and Student's t
that must agree with it.

A bootstrap over three trainings cannot tell how far trainings scatter; many comparisons together can, those of one table or of all.
Trainings that differ in their seed alone scatter about as much as independent errors on the test items would make them (arXiv 2304.01910),
and every comparison knows that expectation well. The factor above it, and how unlike comparisons are in it, is estimated from all of them:
the moderated t-statistic of Smyth (Statistical Applications in Genetics and Molecular Biology, 2004), with the fewest prior degrees of
freedom that they do not contradict.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from helip.reporting.bootstrap import bootstrap

RESAMPLES = 10_000
LEVEL = 0.95
FEW = 4  # trainings: of fewer, a bootstrap's draws have few values
NOTHING = 1e-6  # points: less is rounding
FREEDOMS = (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
CRITICAL = 2.706  # of twice the log-likelihood's drop: 5 % of one side, one degree of freedom


# ---------------------------------------------------------------- two runs, and how far their trainings scatter


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


def exceeding(ours: Sequence[Paired], beyond: Sequence[Paired]) -> list[Paired]:
    """Returns comparisons whose mean is that of `ours` minus that of `beyond`: each is scaled by how many there are for one of its side."""
    count = len(ours) + len(beyond)
    return [_times(p, count / len(ours)) for p in ours] + [_times(p, -count / len(beyond)) for p in beyond]


def _times(paired: Paired, factor: float) -> Paired:
    return replace(paired, columns=tuple((name, factor * d_Sn) for name, d_Sn in paired.columns))


@dataclass(frozen=True)
class Spread:
    """How far the independent trainings of one start scatter; points squared."""

    variance: float  # of one training, over n of them
    expected: float  # what it would be if trainings erred independently on every item: their interaction with the items
    n: int

    def scaled(self, weight: float) -> "Spread":
        """Returns the spread of `weight` times the difference."""
        return Spread(weight**2 * self.variance, weight**2 * self.expected, self.n)


def spread(compared: Sequence[Paired]) -> Spread:
    """Returns the spread of the mean of comparisons of one start, over the trainings that all of them have.

    It is a two-way analysis of variance, trainings by items; the columns of one test set are taken together.
    """
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


# ---------------------------------------------------------------- what a study knows of that scatter


@dataclass(frozen=True)
class Noise:
    """variance / expected of a comparison's trainings is distributed as factor x F(n - 1, freedom)."""

    factor: float = 1.0
    freedom: float = 0.0  # none: each comparison by itself

    def moderated(self, s: Spread) -> tuple[float, float]:
        """Returns (variance of one training, degrees of freedom): its own variance and the study's, weighted by their degrees of
        freedom, and these added up. Of a comparison by itself, a variance below that of independent errors is chance, and is raised to it.
        """
        own = s.n - 1
        freedom = self.freedom + own
        variance = (self.freedom * self.factor * s.expected + own * s.variance) / freedom
        return (variance if self.freedom else max(variance, s.expected)), freedom

    def of_mean(self, spreads: Sequence[Spread]) -> tuple[float, float]:
        """Returns (variance, degrees of freedom) of Student's t for the sum of starts' means, `spreads` as they enter it.

        A start's own variance is uncertain: given its moderated variance v with f degrees of freedom its mean is f / (f - 2) v. One start
        is Student's t as it stands. Of several, the variances add up by these means, which is the prior's factor as factor d / (d - 2),
        the mean of F; the degrees of freedom are those whose t has the sum's kurtosis, 4 + 2 / R, where R is the squared coefficient of
        variation of the summed variance. That needs f > 4: else the starts' own variances are summed (Satterthwaite, Biometrics 1946).
        """
        known = [(variance / s.n, freedom) for s in spreads for variance, freedom in [self.moderated(s)]]
        if len(known) == 1:
            return known[0]
        if not self.freedom or min(freedom for _, freedom in known) <= 4:
            known = [(variance / s.n, freedom) for s in spreads for variance, freedom in [ALONE.moderated(s)]]
            between, wobble = sum(v for v, _ in known), sum(v**2 / freedom for v, freedom in known)
            return between, between**2 / wobble if wobble > 0 else sum(freedom for _, freedom in known)
        means = [(v * f / (f - 2), f) for v, f in known]
        total = sum(m for m, _ in means)
        unsure = sum(2 * m**2 / (f - 4) for m, f in means) / total**2 if total else 0.0
        freedom = 4 + 2 / unsure if unsure else sum(f for _, f in means)
        return total * (freedom - 2) / freedom, freedom


ALONE = Noise()


def training_noise(groups: Iterable[Sequence[Spread]]) -> Noise:
    """Estimates the noise of comparisons that are like each other; those of one group share their reference and test set.

    Two differences from one control have half of their noise in common: the variances of k such ones say as much as k / (1 + (k - 1) / 4)
    that have nothing in common.
    """
    known = [[s for s in group if s.n > 1 and s.expected > 0] for group in groups]
    spreads = [s for group in known for s in group]
    if len(spreads) < 2:
        return ALONE
    weight = sum(4 * len(group) / (3 + len(group)) for group in known) / len(spreads)
    ratio_G, own_G = np.array([s.variance / s.expected for s in spreads]), np.array([s.n - 1 for s in spreads])
    ratio_G = np.maximum(ratio_G, 1e-3 * max(1.0, ratio_G.mean()))  # few items: some variances are nothing by chance
    profile = [(*_best_factor(ratio_G, own_G, freedom), freedom) for freedom in FREEDOMS]
    top = max(likelihood for likelihood, _, _ in profile)
    return next(Noise(factor, freedom) for likelihood, factor, freedom in profile if 2 * weight * (top - likelihood) <= CRITICAL)


def _best_factor(ratio_G: np.ndarray, own_G: np.ndarray, freedom: float) -> tuple[float, float]:
    """(log-likelihood, factor) of the likeliest factor."""
    from scipy.stats import f

    factor_A = np.median(ratio_G) * np.geomspace(1 / 16, 16, 161)
    likelihood_A = f.logpdf(ratio_G / factor_A[:, None], own_G, freedom).sum(1) - len(ratio_G) * np.log(factor_A)
    best = int(likelihood_A.argmax())
    return float(likelihood_A[best]), float(factor_A[best])


# ---------------------------------------------------------------- gains, intervals and p-values


class Interval(NamedTuple):
    """A confidence interval, in percentage points where nothing else is said."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """The mean of one or more comparisons, in percentage points, and how it varies."""

    value: float
    trainings: tuple[Spread, ...]  # of each start, as it enters the mean
    items: float  # the variance of the mean over test items, without what the trainings' own errors make of it

    @property
    def n_trainings(self) -> int:
        """Independent trainings of the start that has the fewest."""
        return min(s.n for s in self.trainings)

    def variance(self, noise: Noise = ALONE) -> tuple[float, float]:
        """Returns the variance of the mean, points squared, and its degrees of freedom: the variances of trainings, moderated by what the
        study knows of them, and of items add up. The degrees of freedom are the trainings' alone: to count the items' would show, of sixty
        differences that are nothing, one in every second study of three trainings whose noise is the trainings'
        (`test_a_family_of_nothing_is_held_to_its_level`). Where the items' noise is most of it, intervals are thus wider than they need be.
        """
        between, freedom = noise.of_mean(self.trainings)
        return between + self.items, freedom

    def student_interval(self, noise: Noise = ALONE) -> Interval:
        """Returns Student's 95 % interval, over trainings and items; of one training there is none, and it is all there is: -100 to 100."""
        from scipy.special import stdtrit

        if self.n_trainings < 2:
            return Interval(-100.0, 100.0)
        variance, freedom = self.variance(noise)
        half = float(variance**0.5 * stdtrit(freedom, (1 + LEVEL) / 2))
        return Interval(max(-100.0, self.value - half), min(100.0, self.value + half))

    def student_p(self, bound: float, above: bool = True, noise: Noise = ALONE) -> float:
        """Returns Student's one-sided p-value against "the truth is not above `bound`" (not below it)."""
        from scipy.special import stdtr

        variance, freedom = self.variance(noise)
        distance = (self.value - bound) * (1 if above else -1)
        if variance < NOTHING**2:  # no spread at all: rounding, of which t would make certainty
            return 0.0 if distance > NOTHING else 1.0
        return float(stdtr(freedom, -distance / variance**0.5))


@dataclass(frozen=True, eq=False)
class Gain(Estimate):
    """An estimate with the draws of its bootstrap."""

    draws: np.ndarray  # [resamples]

    def interval(self, noise: Noise = ALONE) -> Interval:
        """Returns the 95 % interval, cut to -100 to 100: the bootstrap's; of two or three trainings in all, Student's.

        The trainings' part of the draws has three values where there are two trainings, and ten where there are three. Its quantiles then
        stand anywhere beside what its standard deviation says: 28 % too near, of two trainings that scatter more than the items do.
        """
        if self.n_trainings > 1 and sum(s.n for s in self.trainings) < FEW:
            return self.student_interval(noise)
        return interval(np.clip(self._drawn(noise), -100, 100))

    def p(self, bound: float, above: bool = True, noise: Noise = ALONE) -> float:
        """Returns the one-sided p-value against "the truth is not above `bound`" (not below it): the larger of the bootstrap's and
        Student's.

        One training proves nothing.
        """
        if self.n_trainings < 2:
            return 1.0
        return max(chance(self._drawn(noise), bound, above), self.student_p(bound, above, noise))

    def _drawn(self, noise: Noise) -> np.ndarray:
        """The bootstrap's draws, their standard deviation such that normal ones are as wide as Student's interval. To draw trainings and
        items both counts their interaction three times (Owen, Annals of Applied Statistics 2007), and of few trainings the bootstrap is
        too sure: the first makes it too wide, the second too narrow."""
        width = self.draws.std()
        if self.n_trainings < 2 or width < NOTHING:
            return self.draws
        from scipy.special import ndtri, stdtrit

        variance, freedom = self.variance(noise)
        edge = (1 + LEVEL) / 2
        return self.value + (self.draws - self.value) * (variance**0.5 / width * stdtrit(freedom, edge) / ndtri(edge))


def estimate(compared: Sequence[Paired]) -> Estimate:
    """Returns the mean over comparisons, which weigh the same, as do the columns of each."""
    by_start = [[p for p in compared if p.start == start] for start in dict.fromkeys(p.start for p in compared)]
    trainings = tuple(spread(of_one).scaled(len(of_one) / len(compared)) for of_one in by_start)
    value = float(np.mean([np.mean([100 * d_Sn.mean() for _, d_Sn in p.columns]) for p in compared]))
    return Estimate(value, trainings, max(0.0, _over_test_items(compared) - sum(s.expected / s.n for s in trainings if s.n)))


def _over_test_items(compared: Sequence[Paired]) -> float:
    """The variance of the mean over items alone: points squared. The items of a test set are the same, whoever is compared on them."""
    sets: dict[tuple[str, int], np.ndarray] = {}
    for p in compared:
        for name, d_Sn in p.columns:
            mean_n = d_Sn.mean(0, dtype=np.float64) / (len(compared) * len(p.columns))
            key = name, d_Sn.shape[1]
            sets[key] = sets[key] + mean_n if key in sets else mean_n
    return 100**2 * sum(float(np.var(mean_n, ddof=1)) / n for (_, n), mean_n in sets.items() if n > 1)


def gain(compared: Sequence[Paired], resamples: int = RESAMPLES) -> Gain:
    """Returns the same estimate with the draws of a bootstrap over trainings and items."""
    mean = estimate(compared)
    return Gain(mean.value, mean.trainings, mean.items, bootstrap(compared, resamples))


def interval(draws_R: np.ndarray, level: float = LEVEL) -> Interval:
    """Returns the central interval of bootstrap draws [R] that holds `level` of them."""
    low, high = np.quantile(draws_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def chance(draws_R: np.ndarray, bound: float, above: bool = True) -> float:
    """Returns the one-sided p-value against "the truth is not above `bound`" (or not below it): the share of resamples that disagree."""
    disagree = draws_R <= bound if above else draws_R >= bound
    return float((1 + disagree.sum()) / (1 + len(draws_R)))
