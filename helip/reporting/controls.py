"""The positive control of a verdict: could the very test that found nothing have found something?

Two are known. True removal: the start refined without its mismatched pairs, which the generator names, and which no method passes. A
planted gain: the published gain, put into the hits of the measured run, which keeps its scatter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from helip.config import Claim, Comparison
from helip.reporting.chance import above_chance
from helip.reporting.effects import Compared, NotRunError, compared, planted, tested
from helip.reporting.measured import Measured
from helip.reporting.mined import overlap_p
from helip.stages import Mine
from helip.study import Study
from helip.study.published import published, published_gain


@dataclass(frozen=True)
class PositiveControl:
    """Something that is so, and the p-value that the claim's test gives it."""

    kind: str  # in words, as pages print it
    p: float  # one-sided, uncorrected


def positive_control(study: Study, measured: Measured, claim: Claim) -> PositiveControl | None:
    """Returns the control that the claim's test finds best; None where there is none to try."""
    bound = [c for c in claim.comparisons if c.run in study.runs and c.over in study.runs]
    match claim.measure:
        case "epochs":
            return PositiveControl("counted, not estimated", 0.0)
        case "mining_minutes":
            return PositiveControl("the published times", 0.0) if published(study.tables, claim) else None
        case "attribute_overlap" | "pair_overlap":
            return _true_pairs(study, claim, bound)
    controls = [c for c in (_true_removal(study, measured, claim, bound), _planted(study, measured, claim, bound)) if c]
    return min(controls, key=lambda c: c.p, default=None)


def _true_pairs(study: Study, claim: Claim, bound: list[Comparison]) -> PositiveControl | None:
    """The generator's own hard pairs, in the place of those that are asked about."""
    by_corpus = {corpus: name for name, (corpus, spec) in study.pairs.items() if spec.method == "truth" and Mine(study, name).is_done}
    theirs = [study.run(c.over) for c in bound]
    if any(run.corpus not in by_corpus for run in theirs):
        return None
    names = [(by_corpus[run.corpus], study.pairs_name(run)) for run in theirs]
    return PositiveControl("the generator's own hard pairs", overlap_p(study, claim, names))


def true_removal_of(study: Study, run: str) -> str | None:
    """Returns the run that refines the same start without its mismatched pairs; None where the study has none."""
    start = study.run(run).start or run
    removal = (
        r.name for r in study.runs.values()
        if r.start == start and r.select is not None and r.select.score == "truth" and r.arm == "control" and r.interpolate is None
    )  # fmt: skip
    return next(removal, None)


def _true_removal(study: Study, measured: Measured, claim: Claim, bound: list[Comparison]) -> PositiveControl | None:
    if claim.expect != "higher" or claim.than or claim.level is not None:
        return None
    ours = []
    for c in bound:
        removal = true_removal_of(study, c.run)
        control = study.control_of(removal) if removal else None
        if removal is None or control is None:
            return None
        ours.append(Comparison(run=removal, over=control))
    return _found(study, measured, claim, "true removal of mismatches", ours)


def _found(study: Study, measured: Measured, claim: Claim, kind: str, pairs: list[Comparison]) -> PositiveControl | None:
    columns = measured.columns(study.tables[claim.table].chosen(claim.columns))
    if not all(measured.is_there(run, columns) for c in pairs for run in (c.run, c.over)):
        return None
    judged = [(c, above_chance(measured, c.over, columns)) for c in pairs]
    try:
        ours = [compared(measured, claim, c, k) for c, k in judged if k]
    except NotRunError:
        return None
    return PositiveControl(kind, tested(measured, claim, ours, [])[0]) if ours else None


def _planted(study: Study, measured: Measured, claim: Claim, bound: list[Comparison]) -> PositiveControl | None:
    """The paper printed one gain over a control; else its gain over the start stands for it, as further training gave it nothing."""
    if claim.level is not None:
        return None
    ours = [one for c in bound if (one := _planted_in(study, measured, claim, c))]
    beyond = [one for c in claim.than if c.run in study.runs and (one := _planted_in(study, measured, claim, c))]
    if len(ours) < len(bound) or len(beyond) < len([c for c in claim.than if c.run in study.runs]):
        return None
    return PositiveControl(f"the published gain, planted ({_mean(ours):+.2f})", tested(measured, claim, ours, beyond)[0])


def _planted_in(study: Study, measured: Measured, claim: Claim, pair: Comparison) -> Compared | None:
    start = study.run(pair.run).start
    table = study.tables[claim.table]
    columns = above_chance(measured, pair.over, measured.columns(table.chosen(claim.columns)))
    printed = [pair, *([Comparison(run=pair.run, over=start)] if start else [])]
    points = [next((g for p in printed if (g := published_gain(study.tables, claim, p, c)) is not None), None) for c in columns]
    known = [p for p in points if p is not None]
    if not known:
        return None
    mean = sum(known) / len(known)
    try:
        return planted(measured, pair, columns, [mean if p is None else p for p in points])
    except NotRunError:
        return None


def _mean(ours: Sequence[Compared]) -> float:
    return sum(c.value for c in ours) / len(ours)
