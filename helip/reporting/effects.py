"""The measured side of a claim: an estimate, its interval, and the two one-sided p-values that its verdict rests on."""

import statistics
from dataclasses import dataclass
from functools import partial

import numpy as np

from helip.config import Claim, Comparison
from helip.errors import HelipError
from helip.io import read_json
from helip.reporting.measured import Measured, mining_minutes, pairs_file
from helip.reporting.quality import overlap_by_target
from helip.reporting.statistics import RESAMPLES, Gain, Interval, Noise, chance, gain, interval
from helip.stages import BuildCorpus, Mine, model_of
from helip.stages.figure import quality_pairs
from helip.study import Study

FEW = 20  # targets: of fewer, a bootstrap is too sure


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
    """`estimate` is run minus over, averaged over the claim's comparisons; percentage points (minutes, epochs for those measures)."""

    estimate: float
    interval: Interval | None
    p_for: float  # against "it is not so"
    p_against: float  # and against "it may yet be so"
    over_value: float | None
    n_seeds: int | None  # independent trainings
    compared: int  # comparisons that the study has, of those the claim speaks of
    of: int
    columns: tuple[str, ...] = ()
    weakest: Weakest | None = None  # None: there is one comparison
    note: str = ""


def effect(study: Study, measured: Measured, claim: Claim) -> Effect:
    """Returns what the study measured of a claim; NotRunError says what is missing."""
    pairs = claim.comparisons
    bound = [c for c in pairs if c.run in study.runs and c.over in study.runs]
    if not bound:
        raise NotRunError(
            f"the study binds no {' and '.join(dict.fromkeys(r for r in (pairs[0].run, pairs[0].over) if r not in study.runs))}"
        )
    match claim.measure:
        case "accuracy":
            return _accuracy(study, measured, claim, bound, len(pairs))
        case "attribute_overlap":
            return _overlap(study, claim, bound, len(pairs))
        case "mining_minutes":
            return _minutes(study, claim, bound, len(pairs))
        case "epochs":
            return _epochs(study, claim, bound, len(pairs))


def _weakest(claim: Claim, bound: list[Comparison], each: list[float]) -> Weakest | None:
    least = int(np.argmin(-np.abs(each) if claim.expect == "equal" else each))
    return Weakest(bound[least].run, bound[least].over, each[least]) if len(bound) > 1 else None


# ---------------------------------------------------------------- accuracy


def _accuracy(study: Study, measured: Measured, claim: Claim, bound: list[Comparison], of: int) -> Effect:
    wanted = study.tables[claim.table].chosen(claim.columns)
    columns = measured.columns(wanted)
    if not columns:
        raise NotRunError(f"the study evaluates none of {', '.join(c.label for c in wanted)}")
    files = [measured.file(r, s, c) for p in bound for r in (p.run, p.over) for s in study.run(r).seeds for c in columns]
    if missing := [f for f in files if not f.exists()]:
        raise NotRunError(f"{len(missing)} of {len(files)} metrics files are not there yet")
    pairs = [(c.run, c.over) for c in bound]
    differences = [d for pair in pairs if (d := measured.difference(*pair, columns)) is not None]
    gains, paired = [d.gain for d in differences if d.gain], [d.paired for d in differences if d.paired]
    if not len(bound) == len(gains) == len(paired):
        raise NotRunError("the runs share no seed, or a metric has no hits per item")
    mean, noise = gain(paired), measured.noise(pairs, columns)
    each = [(one, measured.noise([pair], columns)) for one, pair in zip(gains, pairs, strict=True)]
    p_for, p_against = _p_values(claim, [(mean, noise)] if claim.together == "mean" else each)
    notes = [f"{len(columns)} of {len(wanted)} columns"] if len(columns) < len(wanted) else []
    notes += [f"{len(bound)} of {of} comparisons"] if len(bound) < of else []
    return Effect(
        mean.value, mean.interval(noise), p_for, p_against, statistics.fmean(d.over_value for d in differences), mean.n_trainings,
        len(bound), of, tuple(c.key for c in columns), _weakest(claim, bound, [d.delta for d in differences]), ", ".join(notes),
    )  # fmt: skip


def _p_values(claim: Claim, gains: list[tuple[Gain, Noise]]) -> tuple[float, float]:
    """Of several comparisons all must be so, and any may be the contrary."""
    sides = [tuple(one_sided(claim, partial(g.p, noise=noise), is_so) for is_so in (True, False)) for g, noise in gains]
    return max(so for so, _ in sides), min(1.0, len(sides) * min(contrary for _, contrary in sides))


def one_sided(claim: Claim, p, is_so: bool) -> float:
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


# ---------------------------------------------------------------- mined pairs, times, epochs


def _overlap(study: Study, claim: Claim, bound: list[Comparison], of: int) -> Effect:
    """Paired over targets that have hard pairs in both sets."""
    names = [(study.pairs_name(study.run(c.run)), study.pairs_name(study.run(c.over))) for c in bound]
    known = [one.pairs for one in quality_pairs(study)]
    if any(n not in known or not (Mine(study, n).folder / "pairs.json").exists() for pair in names for n in pair):
        raise NotRunError("some pairs are not mined yet, or their corpus is not a generated one, whose truth is known")
    values = []
    for ours, theirs in names:
        a, b = overlap_by_target(study, ours), overlap_by_target(study, theirs)
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() < FEW:
            raise NotRunError(f"{both.sum()} targets have hard pairs by both methods, too few to say anything")
        values.append((a[both], b[both]))
    draws = [_draws_of_mean(a - b, seed=i) for i, (a, b) in enumerate(values)]
    sides = [tuple(one_sided(claim, lambda bound, above, d=d: chance(d, bound, above), so) for so in (True, False)) for d in draws]
    each = [float((a - b).mean()) for a, b in values]
    return Effect(
        statistics.fmean(each), interval(np.mean(draws, 0)), max(p for p, _ in sides), min(1.0, len(sides) * min(q for _, q in sides)),
        statistics.fmean(float(b.mean()) for _, b in values), None, len(bound), of,
        weakest=_weakest(claim, bound, each), note="over the targets of one mining job",
    )  # fmt: skip


def _draws_of_mean(values_n: np.ndarray, seed: int, resamples: int = RESAMPLES, kept: int = 2000) -> np.ndarray:
    """Bootstrap draws of a mean; of many values the mean is normal, and it is drawn as such."""
    rng = np.random.default_rng(seed)
    if len(values_n) > kept:
        return rng.normal(values_n.mean(), values_n.std() / np.sqrt(len(values_n)), resamples)
    return rng.multinomial(len(values_n), np.full(len(values_n), 1 / len(values_n)), resamples) @ values_n / len(values_n)


def _minutes(study: Study, claim: Claim, bound: list[Comparison], of: int) -> Effect:
    """One timing each: a comparison without an interval, which decides where the times differ by more than the margin."""
    if missing := [r for c in bound for r in (c.run, c.over) if not pairs_file(study, r).exists()]:
        raise NotRunError(f"the pairs of {missing[0]} are not mined yet")
    try:
        times = [(mining_minutes(study, c.run), mining_minutes(study, c.over)) for c in bound]
    except HelipError as error:
        raise NotRunError(str(error)) from None
    each = [b - a for a, b in times]
    shorter, longer = min(each) > claim.margin, min(each) < -claim.margin
    note = f"{statistics.fmean(a / b for a, b in times):.2f} of the time; one timing each, no interval"
    return Effect(-statistics.fmean(each), None, float(not shorter), float(not longer), statistics.fmean(b for _, b in times), None,
                  len(bound), of, weakest=_weakest(claim, bound, each), note=note)  # fmt: skip


def _epochs(study: Study, claim: Claim, bound: list[Comparison], of: int) -> Effect:
    """At most `margin` passes over the corpus: arithmetic, decided from what the longest trainings say they did."""
    passes = []
    for run, seed in ((study.run(c.run), seed) for c in bound for seed in study.run(c.run).seeds):
        file, manifest = model_of(study, run.name, seed).folder / "train.json", BuildCorpus(study, run.corpus).output
        if not file.exists() or not manifest.exists():
            raise NotRunError(f"{run.name} is not trained yet")
        passes.append(read_json(file)["steps"] * run.recipe.batch_size / read_json(manifest)["size"])
    is_so = max(passes) <= claim.margin
    return Effect(max(passes), None, float(not is_so), float(is_so), None, None, len(bound), of, note="passes over the corpus")
