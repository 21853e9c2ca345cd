"""How many columns are higher, and how sure that number is: for sentences like "consistently" and "on 5 of 7 data sets".

Columns and comparisons are drawn together: trainings of one start and items of one set are drawn once for all that share them. A bootstrap
over few trainings is too sure, of a number as of a mean: the columns' own p-values, moderated by what the study knows, must agree with it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from helip.reporting.statistics import ALONE, Interval, Noise, Paired, gain

RESAMPLES = 2000
BLOCK = 1 << 23  # weights drawn at a time


class Counted:
    """The columns of some comparisons, each with its difference and joint bootstrap draws. Points.

    noises: of each column, how far its trainings scatter; none: each by itself.
    """

    def __init__(self, compared: Sequence[Paired], noises: Sequence[Noise] = (), seed: int = 0):
        self._columns = [replace(p, columns=(column,)) for p in compared for column in p.columns]
        self._noises = noises or [ALONE] * len(self._columns)
        self.values_C = np.array([100 * d_Sn.mean(dtype=np.float64) for p in compared for _, d_Sn in p.columns])
        self.draws_RC = 100 * _joint_draws(compared, seed)

    @property
    def higher(self) -> int:
        """How many columns are above zero."""
        return int((self.values_C > 0).sum())

    @property
    def of(self) -> int:
        """How many columns there are."""
        return len(self.values_C)

    def interval(self) -> Interval:
        """Returns the central 95 % of the number of higher columns over the draws."""
        low, high = np.quantile((self.draws_RC > 0).sum(1), (0.025, 0.975), method="nearest")
        return Interval(float(low), float(high))

    def p_fewer(self, least: int) -> float:
        """Returns the p-value against "at least so many are higher": the share of draws with fewer than `least` higher columns, or what the
        columns' own p-values make of it, whichever is larger."""
        return max(_share((self.draws_RC > 0).sum(1) < least), partial_conjunction(self._p_values(above=True), least))

    def p_as_many(self, least: int) -> float:
        """Returns the p-value against "fewer are higher", that is, "at least `of - least + 1` are lower": the same, turned round."""
        lower = partial_conjunction(self._p_values(above=False), self.of - least + 1)
        return max(_share((self.draws_RC > 0).sum(1) >= least), lower)

    def p_sign(self) -> float:
        """Returns the p-value of the sign test, "no column differs" against "more are higher than a coin would have": the share of draws,
        moved so that no column differs, with as many higher columns. Columns that go together count together, as in no binomial table."""
        return _share((self.draws_RC - self.values_C > 0).sum(1) >= self.higher)

    def _p_values(self, above: bool) -> list[float]:
        return [gain([column]).p(0.0, above, noise) for column, noise in zip(self._columns, self._noises, strict=True)]


def partial_conjunction(p_values: Sequence[float], least: int) -> float:
    """Returns the p-value against "at least `least` of these are so": the `least`-th smallest times how many stand from there on (Benjamini
    and Heller, Biometrics 2008). It holds whatever the p-values have in common. Of none it is 0, of more than there are 1."""
    if not 0 < least <= len(p_values):
        return float(least > 0)
    return min(1.0, (len(p_values) - least + 1) * sorted(p_values)[least - 1])


def _share(agree_R: np.ndarray) -> float:
    return float((1 + agree_R.sum()) / (1 + len(agree_R)))


def _joint_draws(compared: Sequence[Paired], seed: int) -> np.ndarray:
    """[resamples, columns], as a share: trainings by cluster and items by weights of mean 1, drawn once for each start and each set."""
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[str, ...], np.ndarray] = {}
    columns = [(name, d_Sn, weights) for p in compared for weights in [_training_weights(p, drawn, rng)] for name, d_Sn in p.columns]
    draws_RC = np.empty((RESAMPLES, len(columns)))
    for name, n in dict.fromkeys((name, d_Sn.shape[1]) for name, d_Sn, _ in columns):
        mine = [(i, d_Sn, w) for i, (other, d_Sn, w) in enumerate(columns) if (other, d_Sn.shape[1]) == (name, n)]
        for first in range(0, RESAMPLES, rows := max(1, BLOCK // n)):
            weights_Rn = rng.standard_exponential((min(rows, RESAMPLES - first), n), dtype=np.float32)  # the Bayesian bootstrap
            weights_Rn /= weights_Rn.sum(1, keepdims=True)
            for i, d_Sn, weights_RS in mine:
                block = slice(first, first + len(weights_Rn))
                draws_RC[block, i] = ((weights_RS[block] @ d_Sn) * weights_Rn).sum(1)
    return draws_RC


def _training_weights(p: Paired, drawn: dict[tuple[str, ...], np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """[resamples, S] of one comparison, rows adding up to 1; drawn once for each start."""
    names, member_S = np.unique(np.array(p.clusters), return_inverse=True)
    key = p.start, *names
    if key not in drawn:
        drawn[key] = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    weights_RS = drawn[key][:, member_S]
    return weights_RS / weights_RS.sum(1, keepdims=True)
