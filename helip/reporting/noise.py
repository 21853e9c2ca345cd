"""How much trainings scatter, told by many comparisons of a study together: the three trainings of one comparison cannot tell.

Trainings that differ in their seed alone scatter about as much as independent errors on the test items would make them (arXiv 2304.01910),
which every comparison knows well. By what factor more, and how unlike comparisons are in that, is read off all of them: the moderated
t-statistic of Smyth (Statistical Applications in Genetics and Molecular Biology, 2004), with the fewest prior degrees of freedom
that the study does not contradict.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from helip.reporting.paired import Spread

FREEDOMS = (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
CRITICAL = 2.706  # of twice the log-likelihood's drop: 5 % of one side, one degree of freedom


@dataclass(frozen=True)
class Noise:
    """variance / expected of a comparison's trainings is distributed as factor x F(n - 1, freedom)."""

    factor: float = 1.0
    freedom: float = 0.0  # none: each comparison by itself

    def moderated(self, s: Spread) -> tuple[float, float]:
        """The variance of one training, its own and the study's weighted by their degrees of freedom, and these added up.

        Never less than independent errors make it: that is chance.
        """
        own = s.n - 1
        freedom = self.freedom + own
        return max((self.freedom * self.factor * s.expected + own * s.variance) / freedom, s.expected), freedom


ALONE = Noise()


def training_noise(groups: Iterable[Sequence[Spread]]) -> Noise:
    """Of comparisons that are like each other; those of one group have their reference and test set in common.

    Two differences from one control have half of their noise in common: the variances of k such ones say as much as k / (1 + (k - 1) / 4)
    that have nothing in common.
    """
    told = [[s for s in group if s.n > 1 and s.expected > 0] for group in groups]
    found = [s for group in told for s in group]
    if len(found) < 2:
        return ALONE
    weight = sum(4 * len(group) / (3 + len(group)) for group in told) / len(found)
    ratio_G, own_G = np.array([s.variance / s.expected for s in found]), np.array([s.n - 1 for s in found])
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
