"""What a report holds, typed and once for all its forms: the templates (HTML, Markdown, LaTeX) print one `Document` each.

`everything` computes all that a study declares, `document` adds what stands around it: answer, provenance, contamination, ledger.
"""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from helip.errors import HelipError
from helip.reporting.answer import Matrix, answer, matrix
from helip.reporting.claim_rows import ClaimRow, ClaimsContent, claims_content
from helip.reporting.claims import Verdict
from helip.reporting.contrasts import ContrastsContent, contrasts_content
from helip.reporting.measured import Measured
from helip.reporting.provenance import Contamination, Costs, Provenance, contamination, costs, provenance_of
from helip.reporting.table_content import TableContent, numbered
from helip.reporting.tables import table_content
from helip.stages import DecideClaims, contrasts_of
from helip.stages.figure import figures_of, plotted
from helip.stages.report import ledger
from helip.stages.table import question, tables_of
from helip.study import Study

HEIGHT, MIDDLE = 26, (92, 250)  # pixels of a claim's drawing: of a line in it, of the part where intervals lie


@dataclass(frozen=True)
class FigureContent:
    """A figure that was drawn: `path` is its PNG."""

    name: str
    title: str
    note: str
    path: Path

    @property
    def number(self) -> str:
        """What the paper calls it: Figure 4."""
        return numbered(self.name)

    @property
    def caption(self) -> str:
        """Number, title, and the note where there is one."""
        return f"{self.number}. {self.title}." + (f" {self.note}" if self.note else "")

    @property
    def data(self) -> str:
        """The PNG in base64, for a page that holds its pictures itself."""
        return base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class Contents:
    """The computed part of a report: all that its study declares or, while the study is under way, what is finished."""

    tables: tuple[TableContent, ...]
    claims: ClaimsContent
    figures: tuple[FigureContent, ...]
    asked: TableContent | None = None  # the question's table, where it was made
    contrasts: ContrastsContent | None = None  # None: the study declares none
    note: str = ""  # Markdown: how much of the study is there


@dataclass(frozen=True)
class Document:
    """One report."""

    study: str
    question: str
    answer: str  # Markdown
    matrix: Matrix | None
    contents: Contents
    costs: Costs
    provenance: Provenance
    contamination: Contamination | None
    ledger: str  # Markdown
    plotted: tuple[str, ...] = ()  # tables whose numbers a figure shows


@dataclass(frozen=True)
class ForestLine:
    """An estimate with its interval as drawn: `x`, `x_low`, `x_high` and `y` are pixels."""

    label: str
    verdict: Verdict
    estimate: float
    low: float
    high: float
    y: float
    x: float
    x_low: float
    x_high: float


@dataclass(frozen=True)
class Forest:
    """The drawing of a claim: its estimate over the start and over the control, zero, and what the paper printed. Pixels."""

    height: int
    zero: float
    lines: tuple[ForestLine, ...]
    printed: float | None


def question_table(study: Study, measured: Measured) -> TableContent | None:
    """Returns the rows of the question's table that are done; None where nobody made the table."""
    name = question(study)
    if not (study.root / f"{name}.csv").exists():
        return None
    table = table_content(study, name, finished=True, measured=measured)
    return table if table.cells else None


def drawn_figures(study: Study, names: list[str]) -> tuple[FigureContent, ...]:
    """Returns the figures of these names; HelipError names the first that was not drawn yet."""
    declared = study.report.figures
    drawn = tuple(FigureContent(name, declared[name].title, declared[name].note, study.root / f"{name}.png") for name in names)
    _require(*(figure.path for figure in drawn))
    return drawn


def everything(study: Study) -> Contents:
    """Computes all that a study declares; HelipError names what is not built yet."""
    _require(
        *(one.output for one in (DecideClaims(study), *contrasts_of(study))),
        *(study.root / f"{name}.csv" for name in [one.table for one in tables_of(study)]),
        remedy=f"`snakemake {study.root / 'report.html'}` makes all that the page needs; --finished takes what is there",
    )
    drawn, measured = drawn_figures(study, [one.figure for one in figures_of(study)]), Measured(study, [])
    made = tuple(table_content(study, name, measured=measured) for name in [one.table for one in tables_of(study)])
    contrasts = contrasts_content(study, measured) if study.declaration.contrasts else None
    return Contents(made, claims_content(study, measured), drawn, question_table(study, measured), contrasts)


def _require(*paths: Path, remedy: str = "") -> None:
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise HelipError(f"{missing[0]}: not found; build it first ({remedy or f'`snakemake {missing[0]}`'})")


def document(study: Study, contents: Contents) -> Document:
    """Assembles the report of a study."""
    asked = contents.asked
    return Document(
        study=study.name,
        question=study.declaration.question,
        answer=answer(study, contents.claims.rows, asked, contents.contrasts),
        matrix=matrix(study, asked) if asked else None,
        contents=contents,
        costs=costs(study),
        provenance=provenance_of(study),
        contamination=contamination(study),
        ledger=_ledger(study),
        plotted=tuple(plotted(study)),
    )


def _ledger(study: Study) -> str:
    """docs/explanation/discrepancies.md, without its title."""
    return re.sub(r"^# .*\n", "", ledger(study).read_text()) if ledger(study).exists() else ""


def forest(row: ClaimRow) -> Forest | None:
    """Lays out the drawing of a claim; None where it has no interval."""
    measured, over_control = row.verdict, row.verdict_over_control
    estimates = [
        ("over start" if over_control else "measured", measured, row.estimate, row.ci_low, row.ci_high),
        ("over control", over_control, row.control_estimate, row.control_ci_low, row.control_ci_high),
    ]
    lines = [
        (label, verdict, value, least, most)
        for label, verdict, value, least, most in estimates
        if verdict is not None and value is not None and least is not None and most is not None
    ]
    if row.ci_low is None or not lines:
        return None
    values = [0.0, *(v for line in lines for v in line[2:]), *([] if row.published is None else [row.published])]
    low, high = min(values), max(values)
    scale = (MIDDLE[1] - MIDDLE[0]) / ((high - low) or 1.0)

    def pixel(value: float) -> float:
        """Returns where a value lies on the horizontal axis."""
        return MIDDLE[0] + (value - low) * scale

    drawn = tuple(
        ForestLine(label, verdict, value, least, most, HEIGHT * (n + 0.5) + 2, pixel(value), pixel(least), pixel(most))
        for n, (label, verdict, value, least, most) in enumerate(lines)
    )
    return Forest(HEIGHT * len(lines) + 4, pixel(0.0), drawn, None if row.published is None else pixel(row.published))
