"""claims.csv and claims.md: each claim, its verdict, and the numbers it rests on."""

import csv
from collections import Counter
from dataclasses import dataclass, fields, replace
from pathlib import Path

from helip.config import Claim
from helip.errors import HelipError
from helip.io import atomic_file
from helip.reporting.claims import Decision, Verdict, decide
from helip.reporting.effects import Effect
from helip.reporting.inputs import tables
from helip.reporting.measured import Kind, Measured
from helip.reporting.noise import Noise
from helip.reporting.published import published
from helip.reporting.rows import csv_text
from helip.study import Study

VERDICTS = ("reproduced", "not reproduced", "underpowered", "not run")
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
    weakest: str = ""
    note: str = ""


@dataclass(frozen=True)
class DecidedClaims:
    """All claims of a study, and in words how their verdicts came about."""

    rows: tuple[ClaimRow, ...]
    how: str


def write_claims(study: Study) -> list[Decision]:
    """Builds results/<study>/claims.csv and claims.md."""
    measured = Measured(study, tables(study))
    decisions = decide(study, measured)
    _write_csv(study, decisions, study.root / "claims.csv")
    with atomic_file(study.root / "claims.md") as temporary:
        temporary.write_text(markdown(study, decisions, measured.noises))
    return decisions


def counts(decisions: list[Decision], field: str = "verdict") -> dict[str, int]:
    found = Counter(getattr(d, field) for d in decisions)
    return {verdict: found[verdict] for verdict in VERDICTS}


def how(decisions: list[Decision], noises: dict[Kind, Noise]) -> str:
    """How verdicts came about, in words."""
    decided = sum(e is not None and e.interval is not None for d in decisions for e in (d.effect, d.control))
    told = [f"{_kind(kind)} {n.factor:.2f} ({n.freedom:g})" for kind, n in sorted(noises.items()) if n.freedom]
    known = NOISE.format(known=", ".join(told)) if told else ""
    return HOW.format(decided=decided, margin=Claim.model_fields["margin"].default, noise=known)


def _kind(kind: Kind) -> str:
    return ("means of several " if kind.several else "") + " and ".join(kind.tasks)


def claim_row(study: Study, d: Decision) -> ClaimRow:
    """One decision with the published numbers beside it."""
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
        control_ci_low=control_low, control_ci_high=control_high, weakest=effect.weakest if effect else "", note=d.note,
    )  # fmt: skip


def decided_claims(study: Study) -> DecidedClaims:
    """The claims of a study for its report, decided from its metrics files; HelipError where claims.csv is not built yet."""
    path = study.root / "claims.csv"
    if not path.exists():
        raise HelipError(f"{path}: not found; build it first (`snakemake {path}`)")
    measured = Measured(study, tables(study))
    decisions = decide(study, measured)
    return DecidedClaims(tuple(_as_written(claim_row(study, d)) for d in decisions), how(decisions, measured.noises))


def _as_written(row: ClaimRow) -> ClaimRow:
    """The row with its numbers rounded as claims.csv has them, so that the report shows the same ones."""
    numbers = {field.name: value for field in fields(row) if isinstance(value := getattr(row, field.name), float)}
    return replace(row, **{name: float(csv_text(value) or "nan") for name, value in numbers.items()})


def _write_csv(study: Study, decisions: list[Decision], path: Path) -> None:
    columns = [field.name for field in fields(ClaimRow)]
    rows = [claim_row(study, d) for d in decisions]
    with atomic_file(path) as temporary, open(temporary, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([csv_text(getattr(row, column)) for column in columns] for row in rows)


def markdown(study: Study, decisions: list[Decision], noises: dict[Kind, Noise]) -> str:
    lines = [f"# The paper's claims, in study `{study.name}`", "", ", ".join(f"{n} {v}" for v, n in counts(decisions).items()) + ".", ""]
    lines += [
        how(decisions, noises),
        "",
        "| Verdict | Claim | Place | Ours [95 %] | Published | Over the control |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for d in decisions:
        printed = published(study, d.claim)
        paper = f"{printed.difference:+.2f}" if printed else ""
        control = f"{d.control_verdict}: {in_words(d.control, d.claim.measure)}" if d.control else d.control_verdict or ""
        ours = in_words(d.effect, d.claim.measure) if d.effect else ""
        notes = [n for n in (d.note, f"least: {d.effect.weakest}" if d.effect and d.effect.weakest else "") if n]
        note = f" ({'; '.join(notes)})" if notes else ""
        lines.append(f"| **{d.verdict}** | {d.claim.text} | {d.claim.place} | {ours}{note} | {paper} | {control} |")
    return "\n".join([*lines, ""])


def in_words(effect: Effect, measure: str) -> str:
    """An estimate with its interval and unit."""
    number = f"{effect.estimate:+.2f}" if measure != "epochs" else f"{effect.estimate:.2f}"
    between = f" [{effect.interval.low:+.2f}, {effect.interval.high:+.2f}]" if effect.interval else ""
    return f"{number}{between} {UNITS[measure]}"
