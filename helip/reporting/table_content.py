"""A table of a study as every page shows it: its rows of cells, its column labels, and what it leaves out."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from helip.config import Table
from helip.reporting.cells import AVERAGE, CONTRAST, FIELDS, Cell


@dataclass(frozen=True)
class Row:
    """One line of a table: the cells of one run, or of a mean over corpora."""

    cells: tuple[Cell, ...]

    @property
    def first(self) -> Cell:
        """The cell that says what all cells of the row share: corpus, method, run, arm, seeds."""
        return self.cells[0]


@dataclass(frozen=True)
class TableContent:
    """A table of a study, ready for every page: its declaration and its cells. `name` is table1, figure4, first/table1, ..."""

    study: str
    name: str
    declaration: Table
    cells: tuple[Cell, ...]
    meaningless: bool = False  # the study says so of its numbers

    @property
    def number(self) -> str:
        """What the paper calls it: Table 1."""
        return numbered(self.name)

    @property
    def source(self) -> str:
        """Where in the paper the table stands, or that it does not."""
        place = self.declaration.place
        return place if place.startswith("Not in the paper") else f"{place} of arXiv 2305.05208"

    @property
    def is_of_analogues(self) -> bool:
        """Whether its sets stand for the paper's, so that no level of theirs can be compared with a published one."""
        return any(cell.is_analogue for cell in self.cells)

    @property
    def is_of_times(self) -> bool:
        """Whether it holds minutes of mining, methods down and corpora across, and no accuracies."""
        return self.declaration.is_of_times

    @property
    def is_of_pairs(self) -> bool:
        """Whether it says how good pair sets are."""
        return self.declaration.is_of_pairs

    @cached_property
    def labels(self) -> dict[str, str]:
        """column key -> what the paper prints above it, in order. An average of fewer columns than all says of how many."""
        present = dict.fromkeys(c.column for c in self.cells)
        averaged = sum(c.key in present for c in self.declaration.averaged)
        average = "Average" if averaged == len(present) - 1 else f"Average of {averaged} sets"
        if any(c.at_chance for c in self.cells):
            average = "Average of those above chance"
        labels = {c.key: c.label for c in self.declaration.columns} | {AVERAGE: average}
        return {key: labels[key] for key in present}

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All rows, in the order of the declaration."""
        rows: dict[tuple[str, str, str], list[Cell]] = {}
        for cell in self.cells:
            rows.setdefault((cell.corpus, cell.method, cell.run), []).append(cell)
        return tuple(Row(tuple(cells)) for cells in rows.values())

    @property
    def valued(self) -> tuple[Row, ...]:
        """The rows with values: contrasts are left out, whose values stand in rows of their own already."""
        return tuple(row for row in self.rows if row.first.arm != CONTRAST)

    @property
    def compared(self) -> tuple[Row, ...]:
        """The rows that are measured against a reference."""
        return tuple(row for row in self.rows if row.first.delta is not None)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Of each corpus and its methods, the columns that the average leaves out, since their start is at chance."""
        methods: dict[tuple[str, str], list[str]] = {}
        for cell in (c for c in self.cells if c.at_chance):
            methods.setdefault((cell.corpus, cell.at_chance), []).append(cell.method)
        return tuple(
            f"{corpus} ({' / '.join(rows)}): {', '.join(self.labels[key] for key in keys.split())}"
            for (corpus, keys), rows in methods.items()
        )

    @property
    def dropped(self) -> tuple[str, ...]:
        """Of each row that leaves out its noise the share of the pairs that this is, where the table says it."""
        firsts = [row.first for row in self.valued if row.first.dropped is not None]
        return tuple(f"{first.corpus} {first.method} {100 * (first.dropped or 0.0):.1f} %" for first in firsts)

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of its CSV file."""
        return (*FIELDS, *(["dropped"] if self.dropped else []), *(["ci_low", "ci_high"] if self.is_of_pairs else []))

    @property
    def has_rows_of_ours(self) -> bool:
        """Whether some row is not in the paper."""
        return any(cell.ours for cell in self.cells)

    @cached_property
    def corpora(self) -> list[str]:
        """The corpora across, of a table of times."""
        return grid((c.where, c.method) for c in self.cells)[1]

    @cached_property
    def times(self) -> list[tuple[str, list[Cell | None]]]:
        """(method, its cell for each corpus) down, of a table of times."""
        cells = {(c.method, c.where): c for c in self.cells}
        methods, corpora = grid((c.where, c.method) for c in self.cells)
        return [(method, [cells.get((method, corpus)) for corpus in corpora]) for method in methods]

    @property
    def machines(self) -> str:
        """The machines that the times were measured on."""
        return ", ".join(sorted({c.machine for c in self.cells}))


def numbered(name: str) -> str:
    """Returns how the paper calls a table or figure: table1 and first/table1 are Table 1."""
    kind = name.rpartition("/")[2].rstrip("0123456789")
    return f"{kind.capitalize()} {name.rpartition('/')[2].removeprefix(kind)}"


def grid(cells: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Returns (methods, corpora) of a table with methods down and corpora across, from the (corpus, method) of its cells.

    Corpora come as they are met. Methods come by their latest place in a corpus' list, so that a corpus which lacks some does not
    turn them round: [(CC3M, full), (CC12M, 3M), (CC12M, full)] is 3M, full.
    """
    by_corpus: dict[str, list[str]] = {}
    for corpus, method in cells:
        by_corpus.setdefault(corpus, []).append(method)
    last = {m: max(ms.index(m) for ms in by_corpus.values() if m in ms) for methods in by_corpus.values() for m in methods}
    return sorted(last, key=last.__getitem__), list(by_corpus)
