"""claims.csv and claims.md: each claim, its verdict, and the numbers it rests on."""

import csv
from collections import Counter
from pathlib import Path

from helip.config import Claim
from helip.io import atomic_file
from helip.reporting.claims import Decision, decide
from helip.reporting.effects import Effect
from helip.reporting.inputs import tables
from helip.reporting.measured import Kind, Measured
from helip.reporting.noise import Noise
from helip.reporting.published import published
from helip.reporting.rows import csv_text
from helip.study import Study

FIELDS = (
    "claim", "verdict", "place", "text", "expect", "margin", "measure", "run", "over", "compared", "of", "columns", "estimate", "ci_low",
    "ci_high", "p_holm", "p_holm_contrary", "n_seeds", "relative", "published", "published_relative", "verdict_over_control",
    "control_estimate", "control_ci_low", "control_ci_high", "weakest", "note",
)  # fmt: skip
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


def row(study: Study, d: Decision) -> dict[str, object]:
    claim, printed = d.claim, published(study, d.claim)
    said = {field: getattr(claim, field) for field in ("place", "text", "expect", "margin", "measure", "run", "over")}
    said |= {"claim": d.name, "verdict": d.verdict, "p_holm": d.p_holm, "p_holm_contrary": d.p_holm_contrary}
    said |= {"verdict_over_control": d.control_verdict, "note": d.note}
    if d.effect:
        e = d.effect
        low, high = e.interval or (None, None)
        said |= {"compared": e.compared, "of": e.of, "columns": " ".join(e.columns), "estimate": e.estimate, "ci_low": low, "ci_high": high}
        said |= {"n_seeds": e.n_seeds, "weakest": e.weakest, "relative": 100 * e.estimate / e.over_value if e.over_value else None}
    if d.control:
        low, high = d.control.interval or (None, None)
        said |= {"control_estimate": d.control.estimate, "control_ci_low": low, "control_ci_high": high}
    if printed:
        said |= {"published": printed.difference, "published_relative": printed.relative}
    return said


def _write_csv(study: Study, decisions: list[Decision], path: Path) -> None:
    with atomic_file(path) as temporary, open(temporary, "w", newline="") as f:
        writer = csv.DictWriter(f, FIELDS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: csv_text(v) for k, v in row(study, d).items()} for d in decisions)


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
