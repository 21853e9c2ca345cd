"""The cells of a table and how they make rows: what the builders of tables hand to the writers of CSV, Markdown, LaTeX and HTML."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from helip.config import Table
from helip.study import Study

FIELDS = (
    "corpus", "data", "recovered", "method", "run", "arm", "column", "metric", "value", "std", "n_seeds", "published", "reference", "delta",
    "delta_ci_low", "delta_ci_high", "delta_p", "minus_published", "ours", "corpora", "machine", "jobs",
)  # fmt: skip
CONTRAST = "contrast"  # the arm of a row that is one refinement beside another, and no value of its own


@dataclass(frozen=True)
class Cell:
    """One number of a table. `delta` is against `reference`: a refinement's control, a control's start."""

    corpus: str
    data: str
    recovered: float | None
    method: str
    run: str
    arm: str
    column: str
    metric: str
    value: float
    std: float | None
    n_seeds: int
    published: float | None
    reference: str | None = None
    delta: float | None = None
    delta_ci_low: float | None = None
    delta_ci_high: float | None = None
    delta_p: float | None = None  # two-sided, uncorrected
    ours: bool = False  # a row that the paper does not have
    corpora: int = 1  # that it is the mean over
    machine: str = ""  # of a time
    jobs: int | None = None  # that a time is summed over

    @property
    def minus_published(self) -> float | None:
        return None if self.published is None else self.value - self.published

    @property
    def summed(self) -> str:
        return f", summed over {self.jobs} jobs" if self.jobs and self.jobs > 1 else ""


def rows_of(cells: list[Cell]) -> list[list[Cell]]:
    """Cells as the rows that the paper prints."""
    rows: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.corpus, cell.method, cell.run), []).append(cell)
    return list(rows.values())


def valued(cells: list[Cell]) -> list[Cell]:
    """Without contrasts, whose values stand in rows of their own already."""
    return [c for c in cells if c.arm != CONTRAST]


def labels_of(study: Study, name: str, cells: list[Cell]) -> dict[str, str]:
    """column key -> what the paper prints above it, in order."""
    return column_labels(study.tables[name], [c.column for c in cells])


def column_labels(table: Table, keys: Iterable[str]) -> dict[str, str]:
    """The same of the columns that are there; an average of fewer than all says of how many."""
    there = dict.fromkeys(keys)
    averaged = sum(c.key in there for c in table.averaged)
    average = "Average" if averaged == len(there) - 1 else f"Average of {averaged} sets"
    labels = {c.key: c.label for c in table.columns} | {"average": average}
    return {key: labels[key] for key in there}


def data_of(cell: Cell) -> str:
    """The corpus as the paper names it, what stands for it here, and how much of the published one was recovered."""
    share = "" if cell.recovered is None or cell.recovered >= 1 else f", {100 * cell.recovered:.0f} % recovered"
    return f"{cell.corpus} ({cell.data}{share})" if cell.data or share else cell.corpus


def source(table: Table) -> str:
    """Where in the paper a table stands, or that it does not."""
    return table.place if table.place.startswith("Not in the paper") else f"{table.place} of arXiv 2305.05208"


def grid(cells: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """(methods, corpora) of a table with methods down and corpora across, from the (corpus, method) of its cells.

    Corpora come as they are met. Methods come by their latest place in a corpus' list, so that a corpus which lacks some does not
    turn them round: [(CC3M, full), (CC12M, 3M), (CC12M, full)] is 3M, full.
    """
    by_corpus: dict[str, list[str]] = {}
    for corpus, method in cells:
        by_corpus.setdefault(corpus, []).append(method)
    last = {m: max(ms.index(m) for ms in by_corpus.values() if m in ms) for methods in by_corpus.values() for m in methods}
    return sorted(last, key=last.__getitem__), list(by_corpus)


def csv_text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"  # p-values may be small
    return str(value)
