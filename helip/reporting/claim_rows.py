"""Decided claims as rows, for claims.csv and every page, and in words how their verdicts came about."""

from dataclasses import dataclass

from helip.config import Claim
from helip.reporting.claims import VERDICTS, Asked, Decision, Family, Verdict, counts, decide
from helip.reporting.effects import Effect, Weakest
from helip.reporting.measured import Kind, Measured
from helip.reporting.statistics import Noise
from helip.stages.table import tables_of
from helip.study import Study
from helip.study.published import published, published_higher

UNITS = {"accuracy": "points", "attribute_overlap": "points", "pair_overlap": "points", "mining_minutes": "minutes", "epochs": "epochs"}
HOW = (
    "A claim is *reproduced* when its statement is shown, and *not reproduced* when the contrary is (of a gain: that any gain is "
    "smaller than the margin) **and** the same test finds its positive control: true removal of mismatches where the study has it, "
    "or the published gain planted in the very hits. Else the study *cannot tell*. Both sides go by **Holm's correction at 5 %**, "
    "over the {decided} distinct questions of this study that have an interval; the uncorrected p-values and those by Benjamini "
    "and Hochberg stand beside it in claims.csv. The margin is {margin:g} points where nothing else is said, and never more than "
    "half the published gain. A column whose start is below 3 times chance is left out, of both sides. Words like *consistently* "
    "and *on 5 of 7* are decided by the number of columns. p-values are one-sided, the larger of the paired bootstrap's over "
    "trainings and test items and of Student's t, which of a number of columns is a partial conjunction of the columns' own. "
    "{noise}Intervals are uncorrected, the bootstrap's 95 %, about as wide as Student's; of two or three trainings they are Student's, "
    "and of a number of columns the bootstrap's as it is."
)
NOISE = (
    "How far the trainings of one start scatter is told by all comparisons of a kind together, as the few trainings of one cannot; in "
    "multiples of what independent errors on the test items would make it, with the degrees of freedom that this adds to a comparison's "
    "own: {known}. "
)


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
    ours: bool = False  # a question of this project, not the paper's
    compared: int | None = None
    of: int | None = None
    columns: str = ""
    left_out: str = ""  # at chance: start:column
    higher: int | None = None  # columns, where the claim is about their number
    cells: int | None = None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None  # that it is so
    p_bh: float | None = None
    p_holm: float | None = None
    p_contrary: float | None = None
    p_contrary_bh: float | None = None
    p_contrary_holm: float | None = None
    positive_control: str = ""
    positive_control_p: float | None = None
    n_seeds: int | None = None
    relative: float | None = None
    published: float | None = None
    published_relative: float | None = None
    verdict_over_control: Verdict | None = None
    control_estimate: float | None = None
    control_ci_low: float | None = None
    control_ci_high: float | None = None
    control_p: float | None = None
    control_p_bh: float | None = None
    control_p_holm: float | None = None
    weakest: Weakest | None = None
    note: str = ""

    @property
    def unit(self) -> str:
        """The unit of the estimate."""
        return f"of {self.cells} columns" if self.counts_columns else UNITS[self.measure]

    @property
    def counts_columns(self) -> bool:
        """Whether the estimate is a number of columns."""
        return self.higher is not None and self.estimate == self.higher


@dataclass(frozen=True)
class ClaimsContent:
    """All claims of a study, decided, and in words (Markdown) how their verdicts came about."""

    study: str
    rows: tuple[ClaimRow, ...]
    how: str
    meaningless: bool = False

    @property
    def papers(self) -> tuple[ClaimRow, ...]:
        """The claims of the paper, without the questions of this project."""
        return tuple(row for row in self.rows if not row.ours)

    @property
    def counts(self) -> dict[Verdict, int]:
        """verdict -> how many claims of the paper have it, in the order of VERDICTS."""
        return counts([row.verdict for row in self.papers])

    @property
    def over_control(self) -> dict[Verdict, int]:
        """The same of the gains against plain continued training that could be asked, which is never "not run"."""
        return counts([v for row in self.papers if (v := row.verdict_over_control) not in (None, "not run")], VERDICTS[:3])

    @property
    def at_chance(self) -> tuple[str, ...]:
        """The columns that were left out of some claim, as start:column."""
        return tuple(dict.fromkeys(one for row in self.rows for one in row.left_out.split()))


def claims_content(study: Study, measured: Measured | None = None) -> ClaimsContent:
    """Decides the claims of a study from its metrics files, for claims.csv and every page. measured: where files are read already."""
    measured = (measured or Measured(study, [])).of([one.table for one in tables_of(study)])
    decisions = decide(study, measured)
    rows = tuple(claim_row(study, d) for d in decisions)
    return ClaimsContent(study.name, rows, _how(study, decisions, measured.noises), study.declaration.meaningless)


def claim_row(study: Study, d: Decision) -> ClaimRow:
    """Returns one decision with the published numbers beside it."""
    claim, printed, question, control = d.claim, published(study.tables, d.claim), d.stated, d.control
    seen, fair = question.effect if question else None, control.effect if control else None
    low, high = _interval(seen)
    control_low, control_high = _interval(fair)
    p, bh, holm = _three(question, "p")
    contrary, contrary_bh, contrary_holm = _three(question, "p_contrary")
    control_p, control_bh, control_holm = _three(control, "p")
    positive = question.positive_control if question else None
    return ClaimRow(
        claim=d.name, verdict=d.verdict, place=claim.place, text=claim.text, expect=claim.expect, margin=claim.margin,
        measure=claim.measure, run=claim.run, over=claim.over or f"{claim.level:g}", ours=claim.ours,
        compared=seen.compared if seen else None, of=seen.of if seen else None, columns=" ".join(seen.columns) if seen else "",
        left_out=" ".join(seen.left_out) if seen else "", higher=seen.higher if seen else None, cells=seen.cells if seen else None,
        estimate=seen.estimate if seen else None, ci_low=low, ci_high=high, p=p, p_bh=bh, p_holm=holm, p_contrary=contrary,
        p_contrary_bh=contrary_bh, p_contrary_holm=contrary_holm, positive_control=positive.kind if positive else "",
        positive_control_p=positive.p if positive else None, n_seeds=seen.n_seeds if seen else None,
        relative=100 * seen.estimate / seen.over_value if seen and seen.over_value else None,
        published=_printed(study, claim), published_relative=printed.relative if printed and claim.at_least is None else None,
        verdict_over_control=d.control_verdict, control_estimate=fair.estimate if fair else None, control_ci_low=control_low,
        control_ci_high=control_high, control_p=control_p, control_p_bh=control_bh, control_p_holm=control_holm,
        weakest=seen.weakest if seen else None, note=d.note,
    )  # fmt: skip


def _printed(study: Study, claim: Claim) -> float | None:
    """What the paper printed of the estimate: a gain, or a number of columns."""
    if claim.at_least is not None:
        return published_higher(study.tables, claim)
    printed = published(study.tables, claim)
    return printed.difference if printed else None


def _interval(seen: Effect | None) -> tuple[float | None, float | None]:
    return seen.interval if seen and seen.interval else (None, None)


def _three(question: Asked | None, side: str) -> tuple[float | None, float | None, float | None]:
    p = getattr(question, side) if question else None
    return p if p is not None else (None, None, None)


def _how(study: Study, decisions: list[Decision], noises: dict[Kind, Noise]) -> str:
    """How verdicts came about, in words."""
    decided = len(Family(study, [q for d in decisions for q in (d.stated, d.control) if q is not None]))
    kinds = [f"{_kind(kind)} {n.factor:.2f} ({n.freedom:g})" for kind, n in sorted(noises.items()) if n.freedom]
    known = NOISE.format(known=", ".join(kinds)) if kinds else ""
    return HOW.format(decided=decided, margin=Claim.model_fields["margin"].default, noise=known)


def _kind(kind: Kind) -> str:
    return ("means of several " if kind.several else "") + " and ".join(kind.tasks)
