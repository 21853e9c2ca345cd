"""The paper's open question, answered first: does refinement beat plain continued training? From the verdicts and the question's table.

experiments/paper/report.yaml names the claim, the table (table 11) and the one run that was declared beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from helip.config import Selection
from helip.reporting.cells import AVERAGE, CONTRAST, Cell
from helip.reporting.claim_rows import ClaimRow
from helip.reporting.claims import ALPHA
from helip.reporting.contrasts import ContrastsContent
from helip.reporting.correction import holm
from helip.reporting.formats import between
from helip.reporting.headline import contrasts_sentence, question_sentence
from helip.reporting.table_content import TableContent
from helip.study import Study, start_seed
from helip.study.resolve import ResolvedRun

FEW = 4  # refinements that a sentence names; the table below it has all
ARMS = {"control": "plain continued training", "cleaned": "continued training without noise targets", "helip": "HELIP"}


@dataclass(frozen=True)
class Refinement:
    """One refinement beside its control, on the average of the columns. p_holm: None for a bound, which is not asked."""

    cell: Cell
    p_holm: float | None

    @property
    def is_shown(self) -> bool:
        """Whether the difference is shown at 5 %, corrected."""
        return self.p_holm is not None and self.p_holm <= ALPHA


@dataclass(frozen=True)
class Matrix:
    """The question's table in short: refinements down, corpora across, the difference to the control; None where there is none."""

    corpora: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Refinement | None, ...]], ...]
    note: str  # Markdown


def answer(study: Study, claims: Sequence[ClaimRow], table: TableContent | None, contrasts: ContrastsContent | None = None) -> str:
    """Returns paragraphs of Markdown, the first one sentence: from the primary contrasts where the study declares any, from the claims'
    verdicts and from the question's table; None where that was not made."""
    meaningless = study.declaration.meaningless
    lines = [f"**{contrasts_sentence(contrasts, meaningless)}**"] if contrasts and not meaningless else []
    lines += [f"**{question_sentence(study, row)}**" for row in claims if row.claim == study.report.question.claim]
    return "\n\n".join([*lines, *(_others(study, table) if table and not meaningless else [])])


def out_of_reach(study: Study, run: str) -> bool:
    """Returns whether a run was told the truth about its corpus: it is a bound, and no method."""
    r = study.runs[run]
    if r.interpolate:
        return out_of_reach(study, r.interpolate.run)
    return (r.select is not None and r.select.score == "truth") or (r.pairs is not None and r.pairs.method == "truth")


def refinements(study: Study, table: TableContent) -> list[Refinement]:
    """Returns the averages of what is measured against a control.

    `p_holm` is corrected over those within a miner's reach, the means over corpora and the single corpora each by themselves. It is None
    for bounds; the run that is asked once keeps its own p-value.
    """
    once = study.report.question.asked_once
    averages = [c for c in table.cells if c.column == AVERAGE and c.delta_p is not None and c.arm != CONTRAST]
    known = [c for c in averages if set(c.run.split()) <= study.runs.keys()]
    compared = [c for c in known if study.run(c.compared().reference.split()[0]).arm != "start"]
    fair = [c for c in compared if c.run != once and not out_of_reach(study, c.run.split()[0])]
    corrected: dict[Cell, float] = {c: c.compared().p for c in compared if c.run == once}
    for family in ([c for c in fair if c.is_pooled], [c for c in fair if not c.is_pooled]):
        corrected |= zip(family, holm([c.compared().p for c in family]), strict=True)
    return [Refinement(c, corrected.get(c)) for c in compared]


def matrix(study: Study, table: TableContent) -> Matrix | None:
    """Returns the question's table in short; None where nothing in it is measured against a control."""
    compared = refinements(study, table)
    if not compared:
        return None
    corpora = tuple(dict.fromkeys(r.cell.corpus for r in sorted(compared, key=lambda r: r.cell.is_pooled, reverse=True)))
    cells = {(r.cell.method, r.cell.corpus): r for r in compared}
    rows = tuple((method, tuple(cells.get((method, c)) for c in corpora)) for method in dict.fromkeys(r.cell.method for r in compared))
    pooled = any(r.cell.is_pooled for r in compared)
    by = "the means over corpora, and over all single corpora, by themselves" if pooled else "all rows"
    once = study.report.question.asked_once
    note = f"Bold: shown at 5 %, with Holm's correction over {by}; `{once}` is asked once, and bounds are not asked."
    return Matrix(corpora, rows, note)


def _others(study: Study, table: TableContent) -> list[str]:
    compared = refinements(study, table)
    if not compared:
        return []
    once = [r for r in compared if r.cell.run == study.report.question.asked_once]
    bounds = [r.cell for r in compared if r.p_holm is None]
    fair = [r for r in compared if r not in once and r.p_holm is not None]
    pooled, single = ([r for r in fair if r.cell.is_pooled == together] for together in (True, False))
    intro = (
        f"{table.number} sets {_count(pooled or single)} beside their control, on the average of the classification sets, in points with "
        f"95 % intervals.{_unfinished(study, table)}"
    )
    lines = [*(_asked_once(study, r) for r in once), intro]
    if pooled:
        lines += [f"**Over corpora together.** {' '.join(_shown(pooled))}", f"On one corpus alone: {_shown(single)[0]}"]
    else:
        lines += _shown(single)
    contrasts = [c for c in table.cells if c.column == AVERAGE and c.arm == CONTRAST and c.delta_p is not None]
    if contrasts:
        lines.append(f"One refinement beside another, uncorrected: {_named([c for c in contrasts if c.is_pooled] or contrasts)}.")
    if bounds:
        lines.append(f"Out of a miner's reach, told by the generator: {_named([c for c in bounds if c.is_pooled] or bounds)}.")
    return lines


def _count(fair: list[Refinement]) -> str:
    return f"{len(fair)} refinement{'s' * (len(fair) != 1)}"


def _shown(fair: list[Refinement]) -> list[str]:
    sides = {
        f"Shown with Holm's correction over {'all ' * (len(fair) > 1)}{len(fair)} at 5 %": [r.cell for r in fair if r.is_shown],
        "Each by itself, uncorrected": [r.cell for r in fair if not r.is_shown and r.cell.compared().p <= ALPHA],
    }
    lines = []
    for how, shown in sides.items():
        above, below = ([c for c in shown if (c.compared().value > 0) == up] for up in (True, False))
        lines.append(f"{how}: above the control {_strongest(above)}; below it {_strongest(below)}.")
    return lines


def _unfinished(study: Study, table: TableContent) -> str:
    """How much of the table was made, where that is not all."""
    declared = {run for _, _, run, _, _ in study.table_rows(study.report.question.table)}
    done = {c.run for c in table.cells if not c.is_pooled}
    return f" Only {len(done)} of the {len(declared)} rows that the study declares were made; the correction is over these." * (
        done < declared
    )


def _asked_once(study: Study, r: Refinement) -> str:
    run, above = study.run(r.cell.run), "is above" if r.cell.compared().value > 0 else "is below"
    starts = {start_seed(seed) for seed in run.seeds}
    own = "" if starts & set(map(str, study.declaration.seeds)) else " kept for this question"
    return (
        f"**`{r.cell.run}` {above if r.is_shown else 'cannot be told from'} plain continued training:** {between(r.cell)} points on "
        f"{r.cell.corpus}, {len(run.seeds)} refinements of {len(starts)} pre-trainings{own}; p {r.p_holm:.2g}, asked once and not "
        f"corrected. It is {_described(run)}."
    )


def _described(run: ResolvedRun) -> str:
    return ARMS[run.arm] + (_selected(run.select) if run.select else "")


def _selected(spec: Selection) -> str:
    """The selection in words: by whose scores, and which."""
    names = [f"`{name}`" + (f" (weight {weight:g})" if weight != 1 else "") for name, weight in spec.scores.items()]
    who = "the start scores" if spec.needs_model else "score"
    return f" on the {100 * spec.keep:g} % of the pairs that {who} highest by {' and '.join(names)}"


def _strongest(cells: list[Cell]) -> str:
    """The few whose difference is largest, and how many more there are."""
    first = sorted(cells, key=lambda c: -abs(c.compared().value))[:FEW]
    more = len(cells) - len(first)
    return _named(first) + f" and {more} more" * (more > 0)


def _named(cells: list[Cell]) -> str:
    return ", ".join(f"{c.method} on {c.corpus} {between(c)}" for c in sorted(cells, key=lambda c: -c.compared().value)) or "none"
