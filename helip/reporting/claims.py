"""A verdict on every claim of the paper (claims.yaml), decided from what a study measured, and the numbers that it rests on.

A claim is a comparison; `expect` and `margin` make it two one-sided questions: is it so, and is the contrary so? Each has a p-value,
the larger of the paired bootstrap's and of Student's t's (statistics.py), and Holm's correction runs over all claims of the study that
could be decided, for each question by itself, at 5 %. What is shown neither way is underpowered, however the estimate looks.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from helip.config import Claim, Column, Comparison, Table
from helip.reporting.correction import holm
from helip.reporting.effects import Effect, NotRunError, Weakest, effect
from helip.reporting.measured import Kind, Measured
from helip.reporting.statistics import Noise
from helip.stages.table import tables_of
from helip.study import Study

ALPHA = 0.05
Verdict = Literal["reproduced", "not reproduced", "underpowered", "not run"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "not reproduced", "underpowered", "not run")
UNITS = {"accuracy": "points", "attribute_overlap": "points", "mining_minutes": "minutes", "epochs": "epochs"}
HOW = (
    "A claim is *reproduced* when its statement is shown (corrected p at most 0.05), *not reproduced* when the contrary is: for a gain, "
    "that any gain is smaller than the margin, {margin:g} points where nothing else is said. Otherwise the seeds and items were too few "
    "to tell: *underpowered*. Of a gain its direction is decided, over the columns and comparisons taken together or each comparison, "
    "as claims.yaml says; its size and words like *consistently* are not: those the tables show. p-values are one-sided, the larger of "
    "the paired bootstrap's over trainings and test items and of Student's t. {noise}Holm's correction runs over the {decided} comparisons "
    "of this study that have an interval, for each of the two questions by itself. Intervals are the bootstrap's 95 %, as wide as "
    "Student's, uncorrected."
)
NOISE = (
    "How far the trainings of one start scatter is told by all comparisons of a kind together, as the few trainings of one cannot; in "
    "multiples of what independent errors on the test items would make it, with the degrees of freedom that this adds to a comparison's "
    "own: {known}. "
)


@dataclass(frozen=True)
class Published:
    """What the paper printed: means over the claim's comparisons that it has numbers for, in the table's unit."""

    value: float
    over_value: float

    @property
    def difference(self) -> float:
        """The published gain, in the table's unit."""
        return self.value - self.over_value

    @property
    def relative(self) -> float:
        """Percent of the compared value: the paper's 8.4 % and 18.6 % are such."""
        return 100 * self.difference / self.over_value


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


@dataclass(frozen=True)
class ClaimRow:
    """One claim, its verdict and the numbers it rests on; the fields are the columns of claims.csv. None: the study does not say."""

    claim: str
    verdict: Verdict
    place: str
    text: str
    expect: str
    margin: float
    measure: str
    run: str
    over: str
    compared: int | None = None
    of: int | None = None
    columns: str = ""
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_holm: float | None = None
    p_holm_contrary: float | None = None
    n_seeds: int | None = None
    relative: float | None = None
    published: float | None = None
    published_relative: float | None = None
    verdict_over_control: Verdict | None = None
    control_estimate: float | None = None
    control_ci_low: float | None = None
    control_ci_high: float | None = None
    weakest: Weakest | None = None
    note: str = ""

    @property
    def unit(self) -> str:
        """The unit of the estimate."""
        return UNITS[self.measure]

    @property
    def p_shown(self) -> float | None:
        """The corrected p-value of what the verdict says: of the contrary where the claim is not reproduced."""
        return self.p_holm_contrary if self.verdict == "not reproduced" else self.p_holm


@dataclass(frozen=True)
class ClaimsContent:
    """All claims of a study, decided, and in words (Markdown) how their verdicts came about."""

    study: str
    rows: tuple[ClaimRow, ...]
    how: str

    @property
    def counts(self) -> dict[Verdict, int]:
        """verdict -> how many claims have it, in the order of VERDICTS."""
        return counts([row.verdict for row in self.rows])

    @property
    def over_control(self) -> dict[Verdict, int]:
        """The same of the gains against plain continued training that could be asked, which is never "not run"."""
        return counts([v for row in self.rows if (v := row.verdict_over_control) not in (None, "not run")], VERDICTS[:3])


def counts(verdicts: Sequence[Verdict | None], known: Sequence[Verdict] = VERDICTS) -> dict[Verdict, int]:
    """Returns how often each verdict occurs, in the order of `known`."""
    number = Counter(verdicts)
    return {verdict: number[verdict] for verdict in known}


# ---------------------------------------------------------------- what the paper printed


def published(study: Study, claim: Claim) -> Published | None:
    """Returns the numbers of tables.yaml that a claim rests on; None where the paper has none."""
    table = study.tables[claim.table]
    rows = {row.run: row.published for row in table.rows if row.published}
    if claim.measure == "mining_minutes" and not table.is_of_times:
        return None
    if claim.measure in ("attribute_overlap", "epochs"):
        return None
    known = [(rows[p.run], rows[p.over]) for p in claim.comparisons if p.run in rows and p.over in rows]
    both = [pair for ours, theirs in known if (pair := _both(table, table.chosen(claim.columns), ours, theirs))]
    if not both:
        return None
    return Published(statistics.fmean(a for a, _ in both), statistics.fmean(b for _, b in both))


def _both(table: Table, columns: tuple[Column, ...], ours: dict[str, float], theirs: dict[str, float]) -> tuple[float, float] | None:
    """Two rows' averages, as printed where they are of these columns; else over those columns that both rows have."""
    if columns == table.averaged:
        a, b = table.printed_average(ours), table.printed_average(theirs)
        if a is not None and b is not None:
            return a, b
    shared = [c.key for c in columns if c.key in ours and c.key in theirs]
    return (statistics.fmean(ours[c] for c in shared), statistics.fmean(theirs[c] for c in shared)) if shared else None


# ---------------------------------------------------------------- verdicts


def against_control(study: Study, claim: Claim) -> Claim | None:
    """Returns the claim with each start replaced by its control; None where it is not about refinements measured from their start."""
    if claim.measure != "accuracy" or claim.expect != "higher":
        return None
    bound = [c for c in claim.comparisons if c.run in study.runs]
    if not bound or any(study.run(c.run).start != c.over or study.control_of(c.run) in (None, c.over) for c in bound):
        return None
    first, *also = [Comparison(run=c.run, over=study.control_of(c.run)) for c in bound]
    return claim.model_copy(update={"run": first.run, "over": first.over, "also": tuple(also)})


def decide(study: Study, measured: Measured) -> list[Decision]:
    """Decides all claims of a study, in the order of the file."""
    decisions = [_measure(study, measured, name, claim) for name, claim in study.claims.items()]
    tests = [(i, w) for i, d in enumerate(decisions) for w in ("effect", "control") if getattr(d, w) and getattr(d, w).interval]
    effects = [getattr(decisions[i], which) for i, which in tests]
    p_for, p_against = (holm([getattr(e, side) for e in effects]) for side in ("p_for", "p_against"))
    for (i, which), p, q in zip(tests, p_for, p_against, strict=True):
        verdict = _verdict(p, q)
        decided = {"verdict": verdict, "p_holm": p, "p_holm_contrary": q} if which == "effect" else {"control_verdict": verdict}
        decisions[i] = replace(decisions[i], **decided)
    return [_presuming(d, {other.name: other for other in decisions}) for d in decisions]


def _presuming(d: Decision, known: dict[str, Decision]) -> Decision:
    """A claim that presumes others ("these improvements ...") holds only where they do."""
    doubtful = [known[name] for name in d.claim.presumes if known[name].verdict != "reproduced"]
    if d.verdict != "reproduced" or not doubtful:
        return d
    why = f"presumes {', '.join(other.name for other in doubtful)}, not shown here"
    return replace(d, verdict="underpowered", note=f"{d.note}; {why}" if d.note else why)


def _verdict(p_for: float, p_against: float) -> Verdict:
    return "reproduced" if p_for <= ALPHA else "not reproduced" if p_against <= ALPHA else "underpowered"


def _measure(study: Study, measured: Measured, name: str, claim: Claim) -> Decision:
    """Without the correction: what has no interval is decided here, by arithmetic."""
    try:
        seen = effect(study, measured, claim)
    except NotRunError as reason:
        return Decision(name, claim, "not run", note=str(reason))
    decision = Decision(name, claim, _verdict(seen.p_for, seen.p_against), seen, note=seen.note)
    fair = against_control(study, claim)
    if fair is None:
        return decision
    try:
        return replace(decision, control=effect(study, measured, fair), control_verdict="underpowered")
    except NotRunError:
        return replace(decision, control_verdict="not run")


# ---------------------------------------------------------------- rows


def claims_content(study: Study, measured: Measured | None = None) -> ClaimsContent:
    """Decides the claims of a study from its metrics files, for claims.csv and every page. measured: where files are read already."""
    measured = (measured or Measured(study, [])).of([one.table for one in tables_of(study)])
    decisions = decide(study, measured)
    return ClaimsContent(study.name, tuple(claim_row(study, d) for d in decisions), _how(decisions, measured.noises))


def claim_row(study: Study, d: Decision) -> ClaimRow:
    """Returns one decision with the published numbers beside it."""
    claim, printed, effect, control = d.claim, published(study, d.claim), d.effect, d.control
    low, high = effect.interval or (None, None) if effect else (None, None)
    control_low, control_high = control.interval or (None, None) if control else (None, None)
    return ClaimRow(
        claim=d.name, verdict=d.verdict, place=claim.place, text=claim.text, expect=claim.expect, margin=claim.margin,
        measure=claim.measure, run=claim.run, over=claim.over,
        compared=effect.compared if effect else None, of=effect.of if effect else None, columns=" ".join(effect.columns) if effect else "",
        estimate=effect.estimate if effect else None, ci_low=low, ci_high=high, p_holm=d.p_holm, p_holm_contrary=d.p_holm_contrary,
        n_seeds=effect.n_seeds if effect else None,
        relative=100 * effect.estimate / effect.over_value if effect and effect.over_value else None,
        published=printed.difference if printed else None, published_relative=printed.relative if printed else None,
        verdict_over_control=d.control_verdict, control_estimate=control.estimate if control else None,
        control_ci_low=control_low, control_ci_high=control_high, weakest=effect.weakest if effect else None, note=d.note,
    )  # fmt: skip


def _how(decisions: list[Decision], noises: dict[Kind, Noise]) -> str:
    """How verdicts came about, in words."""
    decided = sum(e is not None and e.interval is not None for d in decisions for e in (d.effect, d.control))
    kinds = [f"{_kind(kind)} {n.factor:.2f} ({n.freedom:g})" for kind, n in sorted(noises.items()) if n.freedom]
    known = NOISE.format(known=", ".join(kinds)) if kinds else ""
    return HOW.format(decided=decided, margin=Claim.model_fields["margin"].default, noise=known)


def _kind(kind: Kind) -> str:
    return ("means of several " if kind.several else "") + " and ".join(kind.tasks)
