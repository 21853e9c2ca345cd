"""The measured side of a claim of accuracy: an estimate, its interval, and the two one-sided p-values that its verdict rests on."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from helip.config import Claim, Column, Comparison
from helip.reporting.chance import above_chance
from helip.reporting.counts import Counted
from helip.reporting.measured import Measured
from helip.reporting.statistics import NOTHING, Gain, Interval, Noise, Paired, exceeding, gain
from helip.study import Study, paired_seeds


class NotRunError(Exception):
    """The study did not make what a claim needs; the text says what."""


@dataclass(frozen=True)
class Weakest:
    """Of several comparisons, the one that speaks most against the claim."""

    run: str
    over: str
    estimate: float

    def __str__(self) -> str:
        return f"{self.run} over {self.over} {self.estimate:+.2f}"


@dataclass(frozen=True)
class Effect:
    """`estimate` is run minus over, averaged over the claim's comparisons; percentage points (minutes, epochs, a number of columns)."""

    estimate: float
    interval: Interval | None
    p_for: float  # against "it is not so"
    p_against: float  # and against "it may yet be so"
    over_value: float | None
    n_seeds: int | None  # independent trainings
    compared: int  # comparisons that the study has, of those the claim speaks of
    of: int
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # columns whose start is at chance, as start:column
    higher: int | None = None  # columns that are higher, over all comparisons, where the sentence is about their number
    cells: int | None = None  # of so many
    weakest: Weakest | None = None  # None: there is one comparison
    note: str = ""
    undecided: str = ""  # why nothing may be concluded, either way
    caveat: str = ""  # why the contrary may not be concluded


@dataclass(frozen=True, eq=False)
class Compared:
    """One comparison of a claim, on the columns that are left."""

    pair: Comparison
    columns: tuple[Column, ...]
    paired: Paired
    noise: Noise
    make_gain: Callable[[], Gain]  # with the bootstrap, which takes a moment

    @property
    def value(self) -> float:
        """The difference in points, averaged over the columns."""
        return statistics.fmean(100 * float(d_Sn.mean(dtype=np.float64)) for _, d_Sn in self.paired.columns)


def accuracy(study: Study, measured: Measured, claim: Claim, bound: list[Comparison]) -> Effect:
    """Returns what the study measured of a claim of accuracy; NotRunError says what is missing."""
    wanted = study.tables[claim.table].chosen(claim.columns)
    than = [c for c in claim.than if c.run in study.runs and c.over in study.runs]
    if claim.than and not than:
        raise NotRunError("the study binds none of the runs whose gains it is to exceed")
    columns = _measured_columns(study, measured, wanted, [*bound, *than])
    judged = [(c, above_chance(measured, c.over if claim.level is None else c.run, columns)) for c in bound]
    beyond = [(c, above_chance(measured, c.over, columns)) for c in than]
    dropped = [f"{study.run(c.over).start or c.over}:{one.key}" for c, k in (*judged, *beyond) for one in columns if one not in k]
    notes = [f"{len(columns)} of {len(wanted)} columns"] if len(columns) < len(wanted) else []
    notes += [f"{len(bound)} of {len(claim.comparisons)} comparisons"] if len(bound) < len(claim.comparisons) else []
    exceeded = sum(bool(k) for _, k in beyond)
    notes += [f"beyond {exceeded} of {len(claim.than)} gains"] if exceeded < len(claim.than) else []
    if not any(k for _, k in judged) or (beyond and not exceeded):
        everything = [compared(measured, claim, c, columns) for c in bound]
        effect = _effect(measured, claim, everything, [])
        effect = replace(effect, p_for=1.0, p_against=1.0, interval=None, undecided="the start is at chance on every column")
    else:
        ours = [compared(measured, claim, c, k) for c, k in judged if k]
        effect = _effect(measured, claim, ours, [compared(measured, claim, c, k) for c, k in beyond if k])
    notes += [effect.note] if effect.note else []
    return replace(effect, of=len(claim.comparisons), left_out=tuple(dict.fromkeys(dropped)), note=", ".join(notes))


def _measured_columns(study: Study, measured: Measured, wanted: Sequence[Column], bound: list[Comparison]) -> list[Column]:
    columns = measured.columns(wanted)
    if not columns:
        raise NotRunError(f"the study evaluates none of {', '.join(c.label for c in wanted)}")
    runs = [run for p in bound for run in (p.run, p.over)]
    files = [measured.file(run, seed, c) for run in runs for seed in study.run(run).seeds for c in columns]
    if missing := [f for f in files if not f.exists()]:
        raise NotRunError(f"{len(missing)} of {len(files)} metrics files are not there yet")
    return columns


def compared(measured: Measured, claim: Claim, pair: Comparison, columns: Sequence[Column]) -> Compared:
    """Returns one comparison of a claim as the study measured it; NotRunError where it cannot be paired."""
    if claim.level is not None:
        paired = measured.beside_level(pair.run, columns, claim.level)
        return _compared(measured, pair, columns, paired)
    difference = measured.difference(pair.run, pair.over, columns)
    if difference is None or difference.paired is None:
        raise NotRunError(_unpaired(measured, pair))
    whole = difference

    def make_gain() -> Gain:
        """Returns the gain that tables show, too."""
        assert whole.gain is not None  # it is paired
        return whole.gain

    noise = measured.noise([(pair.run, pair.over)], columns)
    return Compared(pair, tuple(columns), difference.paired, noise, make_gain)


def planted(measured: Measured, pair: Comparison, columns: Sequence[Column], points: Sequence[float]) -> Compared:
    """Returns a comparison with a gain of so many points planted in each column, scattered as the measured one is."""
    return _compared(measured, pair, columns, measured.planted(pair.run, pair.over, columns, points))


def _unpaired(measured: Measured, pair: Comparison) -> str:
    """Why two runs cannot be compared item by item."""
    ours, theirs = (measured.study.run(run).seeds for run in (pair.run, pair.over))
    if paired_seeds(ours, theirs) is None:
        return f"{pair.run} and {pair.over} share no seed: theirs are {', '.join(ours)} and {', '.join(theirs)}"
    return f"a metric of {pair.run} or {pair.over} has no hits per item"


def _compared(measured: Measured, pair: Comparison, columns: Sequence[Column], paired: Paired | None) -> Compared:
    if paired is None:
        raise NotRunError(_unpaired(measured, pair))
    return Compared(pair, tuple(columns), paired, measured.noise([(pair.run, pair.over)], columns), lambda: gain([paired]))


# ---------------------------------------------------------------- the test


def tested(measured: Measured, claim: Claim, ours: Sequence[Compared], beyond: Sequence[Compared]) -> tuple[float, float]:
    """Returns the p-values of "it is not so" and of "it may yet be so". `beyond`: the gains that this gain is to exceed."""
    if claim.at_least is not None:
        counted = Counted([c.paired for c in ours], [noise for c in ours for noise in _noises(measured, c)])
        return counted.p_fewer(claim.at_least), counted.p_as_many(claim.at_least)
    if beyond:
        return _p_values(claim, [_exceeding(ours, other) for other in beyond])
    if claim.together == "mean":
        return _p_values(claim, [(together(ours), joint_noise(measured, ours))])
    p_for, p_against = _p_values(claim, [(c.make_gain(), c.noise) for c in ours])
    return (max(p_for, Counted([c.paired for c in ours]).p_sign()) if claim.consistent else p_for), p_against


def together(ours: Sequence[Compared]) -> Gain:
    """Returns the mean over comparisons, which weigh the same."""
    return ours[0].make_gain() if len(ours) == 1 else gain([c.paired for c in ours])


def joint_noise(measured: Measured, ours: Sequence[Compared]) -> Noise:
    """Returns how far the trainings of all comparisons scatter, together."""
    widest = max((c.columns for c in ours), key=len)
    return measured.noise([(c.pair.run, c.pair.over) for c in ours], widest)


def _noises(measured: Measured, one: Compared) -> list[Noise]:
    """How far the trainings of a comparison scatter on each of its columns."""
    return [measured.noise([(one.pair.run, one.pair.over)], [column]) for column in one.columns]


def _exceeding(ours: Sequence[Compared], other: Compared) -> tuple[Gain, Noise]:
    """A gain minus another gain; it is asked of one comparison."""
    return gain(exceeding([c.paired for c in ours], [other.paired])), ours[0].noise


def _p_values(claim: Claim, gains: list[tuple[Gain, Noise]]) -> tuple[float, float]:
    """Of several comparisons all must be so, and any may be the contrary."""
    sides = [tuple(one_sided(claim, partial(g.p, noise=noise), is_so) for is_so in (True, False)) for g, noise in gains]
    return max(so for so, _ in sides), min(1.0, len(sides) * min(contrary for _, contrary in sides))


def one_sided(claim: Claim, p: Callable[[float, bool], float], is_so: bool) -> float:
    """Returns the p-value of one side of a claim. p(bound, above) is that of "the difference lies above (below) the bound".

    higher: above 0; the contrary: below the smallest gain that counts. not_lower: above -margin; below it. equal: within the margin
    on both sides (two one-sided tests); outside on either.
    """
    m = claim.margin
    match claim.expect, is_so:
        case "higher", True:
            return p(0.0, True)
        case "higher", False:
            return p(m, False)
        case "not_lower", _:
            return p(-m, is_so)
        case "equal", True:
            return max(p(-m, True), p(m, False))
        case _:  # equal, and the contrary
            return min(1.0, 2 * min(p(m, True), p(-m, False)))


# ---------------------------------------------------------------- what is shown


def _effect(measured: Measured, claim: Claim, ours: Sequence[Compared], beyond: Sequence[Compared]) -> Effect:
    each = [c.value for c in ours]
    mean, noise = together(ours), joint_noise(measured, ours)
    if beyond:
        others = max(beyond, key=lambda c: c.value)
        mean, noise = _exceeding(ours, others)
    p_for, p_against = tested(measured, claim, ours, beyond)
    overs = [_over_value(measured, claim, c) for c in ours]
    columns = tuple(dict.fromkeys(column.key for c in ours for column in c.columns))
    effect = Effect(
        mean.value, mean.interval(noise), p_for, p_against, statistics.fmean(overs), mean.n_trainings, len(ours), len(ours), columns,
        weakest=weakest(claim, [c.pair for c in ours], each),
    )  # fmt: skip
    if mean.n_trainings < 2:
        return replace(effect, undecided="one training tells nothing of how far trainings scatter")
    if any(c.make_gain().variance()[0] < NOTHING**2 for c in ours):
        none = "no item and no training differs, which is no information"
        return replace(effect, interval=None, p_for=1.0, p_against=1.0, undecided=none)
    return _with_count(claim, effect, ours)


def _with_count(claim: Claim, effect: Effect, ours: Sequence[Compared]) -> Effect:
    """With the number of higher columns, where the sentence is about it: as the estimate, or beside it."""
    if claim.at_least is None and not claim.consistent:
        return effect
    counted = Counted([c.paired for c in ours])
    effect = replace(effect, higher=counted.higher, cells=counted.of)
    if claim.consistent:
        return replace(effect, note=f"{counted.higher} of {counted.of} columns are higher, sign test p {counted.p_sign():.2g}")
    unlike = "" if counted.of >= (claim.at_least or 0) else "fewer columns are left than the sentence speaks of"
    if unlike:
        effect = replace(effect, p_for=1.0, p_against=1.0)
    return replace(effect, estimate=float(counted.higher), interval=counted.interval(), over_value=None, undecided=unlike)


def _over_value(measured: Measured, claim: Claim, one: Compared) -> float:
    if claim.level is not None:
        return claim.level
    difference = measured.difference(one.pair.run, one.pair.over, one.columns)
    return difference.over_value if difference else float("nan")


def weakest(claim: Claim, bound: Sequence[Comparison], each: list[float], lower: bool = False) -> Weakest | None:
    """Returns the comparison that speaks most against the claim; None where there is only one. lower: the claim is of a smaller number, as
    of minutes."""
    least = int(np.argmin(-np.abs(each) if claim.expect == "equal" else np.negative(each) if lower else each))
    return Weakest(bound[least].run, bound[least].over, each[least]) if len(bound) > 1 else None
