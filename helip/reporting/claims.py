"""A verdict on every claim of the paper (claims.yaml), decided from what a study measured.

A claim is a comparison; `expect` and `margin` make it two one-sided questions: is it so, and is the contrary so? Each has a p-value,
the larger of the paired bootstrap's and of Student's t's (statistics.py), and Holm's correction runs over all claims of the study that
could be decided, for each question by itself, at 5 %. What is shown neither way is underpowered, however the estimate looks.
"""

from dataclasses import dataclass, replace
from typing import Literal

from helip.config import Claim, Comparison
from helip.reporting.effects import Effect, NotRunError, effect
from helip.reporting.measured import Measured
from helip.reporting.statistics import holm
from helip.study import Study

ALPHA = 0.05
Verdict = Literal["reproduced", "not reproduced", "underpowered", "not run"]


@dataclass(frozen=True)
class Decision:
    """One claim as the paper states it, and the same gain against plain continued training where the paper measures from the start."""

    name: str
    claim: Claim
    verdict: Verdict
    effect: Effect | None = None
    p_holm: float | None = None  # corrected, against "it is not so"
    p_holm_contrary: float | None = None  # and against "it may yet be so"
    control_verdict: Verdict | None = None  # None: the claim is not about a refinement and its start
    control: Effect | None = None
    note: str = ""


def against_control(study: Study, claim: Claim) -> Claim | None:
    """The claim with each start replaced by its control; None where it is not about refinements measured from their start."""
    if claim.measure != "accuracy" or claim.expect != "higher":
        return None
    bound = [c for c in claim.comparisons if c.run in study.runs]
    if not bound or any(study.run(c.run).start != c.over or study.control_of(c.run) in (None, c.over) for c in bound):
        return None
    first, *also = [Comparison(run=c.run, over=study.control_of(c.run)) for c in bound]
    return claim.model_copy(update={"run": first.run, "over": first.over, "also": tuple(also)})


def decide(study: Study, measured: Measured) -> list[Decision]:
    """The verdicts of all claims, in the order of the file."""
    decisions = [_measure(study, measured, name, claim) for name, claim in study.claims.items()]
    tests = [(i, w) for i, d in enumerate(decisions) for w in ("effect", "control") if getattr(d, w) and getattr(d, w).interval]
    effects = [getattr(decisions[i], which) for i, which in tests]
    p_for, p_against = (holm([getattr(e, side) for e in effects]) for side in ("p_for", "p_against"))
    for (i, which), p, q in zip(tests, p_for, p_against, strict=True):
        said = {"verdict": _verdict(p, q), "p_holm": p, "p_holm_contrary": q} if which == "effect" else {"control_verdict": _verdict(p, q)}
        decisions[i] = replace(decisions[i], **said)
    return [_presuming(d, {other.name: other for other in decisions}) for d in decisions]


def _presuming(d: Decision, known: dict[str, Decision]) -> Decision:
    """A claim that presumes others ("these improvements ...") holds only where they do."""
    doubtful = [known[name] for name in d.claim.presumes if known[name].verdict != "reproduced"]
    if d.verdict != "reproduced" or not doubtful:
        return d
    said = f"presumes {', '.join(other.name for other in doubtful)}, not shown here"
    return replace(d, verdict="underpowered", note=f"{d.note}; {said}" if d.note else said)


def _verdict(p_for: float, p_against: float) -> Verdict:
    return "reproduced" if p_for <= ALPHA else "not reproduced" if p_against <= ALPHA else "underpowered"


def _measure(study: Study, measured: Measured, name: str, claim: Claim) -> Decision:
    """Without the correction: what has no interval is decided here, by arithmetic."""
    try:
        found = effect(study, measured, claim)
    except NotRunError as reason:
        return Decision(name, claim, "not run", note=str(reason))
    decision = Decision(name, claim, _verdict(found.p_for, found.p_against), found, note=found.note)
    fair = against_control(study, claim)
    if fair is None:
        return decision
    try:
        return replace(decision, control=effect(study, measured, fair), control_verdict="underpowered")
    except NotRunError:
        return replace(decision, control_verdict="not run")
