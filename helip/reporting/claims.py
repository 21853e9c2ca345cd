"""A verdict on every claim of the paper (claims.yaml), decided from what a study measured, and the numbers that it rests on.

A claim is a comparison; `expect` and `margin` make it two one-sided questions: is it so, and is the contrary so? Each has a p-value.
Verdicts go by Holm's correction over all distinct questions of the study that could be decided, for each side by itself, at 5 %. The
contrary is concluded only where the same test, as strictly, finds a positive control (controls.py). Everything else is "cannot tell".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from helip.config import Claim, Comparison
from helip.reporting.controls import PositiveControl, positive_control
from helip.reporting.correction import benjamini_hochberg, holm
from helip.reporting.effects import Effect, NotRunError, accuracy
from helip.reporting.measured import Measured
from helip.reporting.mined import epochs, minutes, overlap
from helip.study import Study

ALPHA = 0.05
Verdict = Literal["reproduced", "not reproduced", "cannot tell", "not run", "not measurable"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "not reproduced", "cannot tell", "not run", "not measurable")


class P(NamedTuple):
    """A p-value, uncorrected and by both corrections. Verdicts go by `holm`."""

    raw: float
    bh: float
    holm: float


@dataclass(frozen=True)
class Asked:
    """One of the two things asked of a claim: as the paper states it, or against the control."""

    claim: Claim
    effect: Effect
    p: P | None = None  # against "it is not so"; None: arithmetic, or no information
    p_contrary: P | None = None  # and against "it may yet be so"
    verdict: Verdict = "cannot tell"
    positive_control: PositiveControl | None = None  # asked only where the contrary seems to be so
    note: str = ""


@dataclass(frozen=True)
class Decision:
    """One claim as the paper states it, and the same gain against plain continued training where the paper measures from the start."""

    name: str
    claim: Claim
    verdict: Verdict
    stated: Asked | None = None
    control: Asked | None = None
    control_verdict: Verdict | None = None  # None: the claim is not about a refinement and its start
    note: str = ""


# ---------------------------------------------------------------- what is asked


def effect(study: Study, measured: Measured, claim: Claim) -> Effect:
    """Returns what the study measured of a claim; NotRunError says what is missing."""
    pairs = claim.comparisons
    bound = [c for c in pairs if c.run in study.runs and c.over in study.runs]
    if not bound:
        lacking = dict.fromkeys(r for r in (pairs[0].run, pairs[0].over) if r not in study.runs)
        raise NotRunError(f"the study binds no {' and '.join(lacking)}")
    match claim.measure:
        case "accuracy":
            return accuracy(study, measured, claim, bound)
        case "mining_minutes":
            return minutes(study, claim, bound)
        case "epochs":
            return epochs(study, claim, bound)
        case _:
            return overlap(study, claim, bound)


def against_control(study: Study, claim: Claim) -> Claim | None:
    """Returns the claim with each start replaced by its control; None where it is not about refinements measured from their start."""
    if claim.measure != "accuracy" or claim.expect != "higher" or claim.than or claim.level is not None:
        return None
    bound = [c for c in claim.comparisons if c.run in study.runs]
    if not bound or any(study.run(c.run).start != c.over or study.control_of(c.run) in (None, c.over) for c in bound):
        return None
    first, *also = [Comparison(run=c.run, over=study.control_of(c.run)) for c in bound]
    return claim.model_copy(update={"run": first.run, "over": first.over, "also": tuple(also)})


def _asked(study: Study, measured: Measured, name: str, claim: Claim) -> Decision:
    if claim.undecidable:
        return Decision(name, claim, "not measurable", note=claim.undecidable)
    if claim.level is not None and study.declaration.analogues:
        note = "the study's sets stand for others, and no level of theirs can be compared with a published one"
        return Decision(name, claim, "not measurable", note=note)
    try:
        stated = Asked(claim, effect(study, measured, claim))
    except NotRunError as reason:
        return Decision(name, claim, "not run", note=str(reason))
    decision = Decision(name, claim, "cannot tell", stated)
    fair = against_control(study, claim)
    if fair is None:
        return decision
    try:
        return replace(decision, control=Asked(fair, effect(study, measured, fair)), control_verdict="cannot tell")
    except NotRunError:
        return replace(decision, control_verdict="not run")


# ---------------------------------------------------------------- verdicts


def decide(study: Study, measured: Measured) -> list[Decision]:
    """Decides all claims of a study, in the order of the file."""
    asked = [_asked(study, measured, name, claim) for name, claim in study.claims.items()]
    questions = [q for d in asked for q in (d.stated, d.control) if q is not None]
    family = Family(study, questions)
    answered = [_answered(study, measured, d, family) for d in asked]
    return [_presuming(d, {other.name: other for other in answered}) for d in answered]


def _answered(study: Study, measured: Measured, d: Decision, family: "Family") -> Decision:
    stated = _decided(study, measured, d.stated, family) if d.stated else None
    control = _decided(study, measured, d.control, family) if d.control else None
    if stated:
        d = replace(d, stated=stated, verdict=stated.verdict, note=stated.note)
    return replace(d, control=control, control_verdict=control.verdict) if control else d


class Family:
    """The distinct questions of a study that have a p-value: the same comparisons asked twice are one."""

    def __init__(self, study: Study, questions: Iterable[Asked]):
        self._study = study
        decided = [q for q in questions if q.effect.interval is not None and not q.effect.undecided]
        self._effects = {question_key(study, q.claim): q.effect for q in decided}
        self._sides = [self._corrected([getattr(e, side) for e in self._effects.values()]) for side in ("p_for", "p_against")]

    def __len__(self) -> int:
        return len(self._effects)

    def _corrected(self, p_values: list[float]) -> dict[str, P]:
        corrected = zip(p_values, benjamini_hochberg(p_values), holm(p_values), strict=True)
        return dict(zip(self._effects, (P(*three) for three in corrected), strict=True))

    def p(self, question: Asked) -> tuple[P | None, P | None]:
        """Returns the p-values of a question's two sides; None where it is none of the family."""
        key = question_key(self._study, question.claim)
        return self._sides[0].get(key), self._sides[1].get(key)


def question_key(study: Study, claim: Claim) -> str:
    """Returns what two claims that ask the same share: everything but their words, what they presume, and the table of their columns."""
    columns = [(c.set, c.metric) for c in study.tables[claim.table].chosen(claim.columns)] if claim.measure == "accuracy" else []
    return f"{claim.model_dump_json(exclude={'text', 'place', 'presumes', 'ours', 'gauge', 'table', 'columns'})} {columns}"


def _decided(study: Study, measured: Measured, question: Asked, family: Family) -> Asked:
    seen, (p, contrary) = question.effect, family.p(question)
    question = replace(question, p=p, p_contrary=contrary, note=seen.note)
    if study.declaration.meaningless or seen.undecided:
        return _noted(question, "the study declares its numbers meaningless" if study.declaration.meaningless else seen.undecided)
    if (p.holm if p else seen.p_for) <= ALPHA:
        return replace(question, verdict="reproduced")
    if (contrary.holm if contrary else seen.p_against) > ALPHA:
        return question
    if seen.caveat:
        return _noted(question, seen.caveat)
    positive = positive_control(study, measured, question.claim)
    question = replace(question, positive_control=positive)
    # As strict as Holm's first step: what is detected so would be detected at any place among the others.
    if positive is None or positive.p * max(1, len(family)) > ALPHA:
        return _noted(question, f"the same test does not find its positive control ({positive.kind if positive else 'there is none'})")
    return _noted(replace(question, verdict="not reproduced"), f"positive control found: {positive.kind}")


def _noted(question: Asked, note: str) -> Asked:
    return replace(question, note=f"{question.note}; {note}" if question.note else note)


def _presuming(d: Decision, known: dict[str, Decision]) -> Decision:
    """A claim that presumes others ("these improvements ...") holds only where they do."""
    doubtful = [known[name] for name in d.claim.presumes if known[name].verdict != "reproduced"]
    if d.verdict != "reproduced" or not doubtful:
        return d
    why = f"presumes {', '.join(other.name for other in doubtful)}, not shown here"
    return replace(d, verdict="cannot tell", note=f"{d.note}; {why}" if d.note else why)


def counts(verdicts: Sequence[Verdict | None], known: Sequence[Verdict] = VERDICTS) -> dict[Verdict, int]:
    """Returns how often each verdict occurs, in the order of `known`."""
    return {verdict: list(verdicts).count(verdict) for verdict in known}
