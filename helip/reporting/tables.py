"""The paper's tables as typed cells, from metrics files (table 10: from the JSON beside mined pairs), and the one writer of CSV files."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas

from helip.config import Column, Table
from helip.io import atomic_file, read_json
from helip.reporting.chance import above_chance
from helip.reporting.judged import judged_mean
from helip.reporting.measured import Measured, machines, mining_jobs, mining_minutes, pairs_file, two_sided
from helip.reporting.statistics import Gain, Noise, gain
from helip.stages import JudgePairs, MakeTable
from helip.study import Study

FIELDS = (
    "corpus", "data", "recovered", "method", "run", "arm", "column", "metric", "value", "std", "n_seeds", "published", "reference", "delta",
    "delta_ci_low", "delta_ci_high", "delta_p", "minus_published", "published_delta", "at_chance", "ours", "corpora", "machine", "jobs",
    "ci_low", "ci_high",
)  # fmt: skip
CONTRAST = "contrast"  # the arm of a row that is one refinement beside another, and no value of its own
AVERAGE = "average"  # the column that is the mean of others


class Delta(NamedTuple):
    """A difference in percentage points to a run or, of a mean over corpora, several: its 95 % interval and two-sided p, uncorrected."""

    reference: str
    value: float
    low: float
    high: float
    p: float


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
    published_delta: float | None = None  # the paper's own gain of this run over its start, beside `delta`
    at_chance: str = ""  # of an average: the columns that it leaves out, whose start is below 3 times chance
    ci_low: float | None = None  # of a judgement of pair sets: 95 %, over photographs or draws
    ci_high: float | None = None
    is_analogue: bool = False  # its set stands for the paper's: no level of it can be compared

    @property
    def minus_published(self) -> float | None:
        """Ours minus the published number; None where there is none, or where the set only stands for the paper's."""
        return None if self.published is None or self.is_analogue else self.value - self.published

    @property
    def summed(self) -> str:
        """Of a time, over how many jobs it is summed, in words; empty for one job."""
        return f"summed over {self.jobs} jobs" if self.jobs and self.jobs > 1 else ""

    @property
    def where(self) -> str:
        """The corpus as the paper names it, what stands for it here, and how much of the published one was recovered."""
        share = "" if self.recovered is None or self.recovered >= 1 else f", {100 * self.recovered:.0f} % recovered"
        return f"{self.corpus} ({self.data}{share})" if self.data or share else self.corpus

    @property
    def tone(self) -> str:
        """How a page colours the difference: up or down where p is at most 5 %, uncorrected; else quiet."""
        return "quiet" if self.delta_p is None or self.delta_p > 0.05 else "up" if self.compared().value > 0 else "down"

    def compared(self) -> Delta:
        """Returns the difference with its interval. ValueError for a cell that is compared with nothing, whose `delta_p` is None."""
        reference, value, low, high, p = self.reference, self.delta, self.delta_ci_low, self.delta_ci_high, self.delta_p
        if reference is None or value is None or low is None or high is None or p is None:
            raise ValueError(f"{self.run}: {self.column} is compared with nothing")
        return Delta(reference, value, low, high, p)

    @property
    def is_pooled(self) -> bool:
        """Whether the cell is the mean over corpora: `run` and `reference` name them all."""
        return self.corpora > 1


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


class TableBuilder:
    """Computes the cells of one table: values, published numbers, differences with their intervals, means over corpora, contrasts."""

    def __init__(self, study: Study, name: str, finished: bool = False, measured: Measured | None = None):
        self.study, self.name, self.table, self.finished = study, name, study.tables[name], finished
        self.measured = (measured or Measured(study, [])).of([name])
        self.columns = self.measured.columns(self.table.columns)

    def _delta(self, run: str, columns: list[Column]) -> dict[str, Any]:
        """Difference to the run it is measured against, on shared seeds; a start's checkpoint stands for all its refinements."""
        reference = self.study.control_of(run)
        if reference is None or (difference := self.measured.difference(run, reference, columns)) is None:
            return {}
        noise = self.measured.noise([(run, reference)], columns)
        return {"reference": reference, "delta": difference.delta} | _how_sure(difference.gain, noise)

    def _printed(self, run: str, key: str, columns: list[Column]) -> float | None:
        """What the paper printed of a run: of an average only where it is over the same columns."""
        published = next((p for _, _, other, p, _ in self.study.table_rows(self.name) if other == run), {})
        if key != AVERAGE:
            return published.get(key)
        return self.table.printed_average(published) if len(columns) == len(self.table.averaged) else None

    def _printed_gain(self, run: str, key: str, columns: list[Column]) -> float | None:
        start = self.study.run(run).start
        ours, theirs = (self._printed(one, key, columns) if one else None for one in (run, start))
        return None if ours is None or theirs is None else ours - theirs

    def _cell(self, corpus: str, label: str, run: str, key: str, metric: str, columns: list[Column], ours: bool) -> Cell:
        bound, values = self.study.run(run), self.measured.values(run, columns)
        recovered = self.measured.recovered_share(run, columns[0])
        std = statistics.stdev(values) if len(values) > 1 else None
        data = self.study.declaration.corpora[bound.corpus].label
        left_out = self._at_chance(run) if key == AVERAGE else ""
        return Cell(
            corpus, data, recovered, label, run, bound.arm, key, metric, statistics.fmean(values), std, len(values),
            self._printed(run, key, columns), ours=ours, published_delta=self._printed_gain(run, key, columns), at_chance=left_out,
            is_analogue=self.study.declaration.analogues, **self._delta(run, columns),
        )  # fmt: skip

    def _averaged(self, run: str) -> list[Column]:
        """The columns that a row is averaged over: those whose start is above chance."""
        return above_chance(self.measured, run, [c for c in self.table.averaged if c in self.columns])

    def _at_chance(self, run: str) -> str:
        kept = self._averaged(run)
        return " ".join(c.key for c in self.table.averaged if c in self.columns and c not in kept)

    def _is_finished(self, run: str) -> bool:
        runs = [run, self.study.control_of(run) or run]
        return all(self.measured.is_there(r, self.columns) for r in runs)

    def _compared(self, corpus: str, label: str, arm: str, pairs: list[tuple[str, str]]) -> Iterator[Cell]:
        """The mean of comparisons (run, over), which weigh the same; `run` and `reference` hold all their names."""
        runs, others = zip(*pairs, strict=True)
        for key, metric, shared in self._columns():
            of_pair = [self._averaged(run) if key == AVERAGE else shared for run in runs]
            if not all(of_pair):
                continue
            differences = [d for pair, columns in zip(pairs, of_pair, strict=True) if (d := self.measured.difference(*pair, columns))]
            if len(differences) < len(pairs):
                continue
            values = [self.measured.values(run, columns) for run, columns in zip(runs, of_pair, strict=True)]
            delta, columns = statistics.fmean(d.delta for d in differences), max(of_pair, key=len)
            paired = [d.paired for d in differences if d.paired]
            together = gain(paired) if len(paired) == len(pairs) else None
            yield Cell(
                corpus, "", None, label, " ".join(runs), arm, key, metric, statistics.fmean(map(statistics.fmean, values)), None,
                sum(map(len, values)), None, " ".join(others), delta, ours=True, corpora=len(pairs),
                **_how_sure(together, self.measured.noise(pairs, columns)),
            )  # fmt: skip

    def _pooled(self, rows: list[tuple], done: set[str]) -> Iterator[Cell]:
        """The mean over corpora of the rows of one label, where all are done and measured against something."""
        for label in dict.fromkeys(label for _, label, _, _, _ in rows):
            runs = [run for _, other, run, _, _ in rows if other == label]
            pairs = [(run, over) for run in runs if (over := self.study.control_of(run))]
            if len(pairs) == len(runs) and self._over_corpora(pairs, done):
                yield from self._compared(f"{len(pairs)} corpora", label, self.study.run(pairs[0][0]).arm, pairs)

    def _contrasts(self, rows: list[tuple], done: set[str]) -> Iterator[Cell]:
        corpus_of = {run: corpus for corpus, _, run, _, _ in rows}
        known = [c for c in self.table.contrasts if {c.run, c.over} <= corpus_of.keys()]
        for label in dict.fromkeys(c.label for c in known):
            pairs = [(c.run, c.over) for c in known if c.label == label]
            for run, over in pairs:
                if {run, over} <= done:
                    yield from self._compared(corpus_of[run], label, CONTRAST, [(run, over)])
            if self._over_corpora(pairs, done):
                yield from self._compared(f"{len(pairs)} corpora", label, CONTRAST, pairs)

    def _over_corpora(self, pairs: list[tuple[str, str]], done: set[str]) -> bool:
        return len({self.study.run(run).corpus for run, _ in pairs}) == len(pairs) > 1 and {run for pair in pairs for run in pair} <= done

    def _columns(self) -> list[tuple[str, str, list[Column]]]:
        """(key, metric, columns): each by itself, then the average."""
        averaged = [c for c in self.table.averaged if c in self.columns]
        return [(c.key, c.metric, [c]) for c in self.columns] + [(AVERAGE, "mean", averaged)] * (len(averaged) > 1)

    def cells(self) -> Iterator[Cell]:
        """Yields the cells row by row: the declared rows, the means over corpora, the contrasts."""
        rows = [r for r in self.study.table_rows(self.name) if self.columns and (not self.finished or self._is_finished(r[2]))]
        for corpus, label, run, _, ours in rows:
            for key, metric, shared in self._columns():
                if columns := self._averaged(run) if key == AVERAGE else shared:
                    yield self._cell(corpus, label, run, key, metric, columns, ours)
        declared, done = self.study.table_rows(self.name), {run for _, _, run, _, _ in rows}
        if self.table.pooled:
            yield from self._pooled(declared, done)
        yield from self._contrasts(declared, done)


def _how_sure(gain: Gain | None, noise: Noise) -> dict[str, Any]:
    if gain is None:
        return {}
    low, high = gain.interval(noise)
    return {"delta_ci_low": low, "delta_ci_high": high, "delta_p": two_sided(gain, noise)}


def time_cells(study: Study, name: str, finished: bool = False) -> Iterator[Cell]:
    """Yields the cells of a table of mining times. One timing each: no interval."""
    for corpus, label, run, published, ours in study.table_rows(name):
        if finished and not pairs_file(study, run).exists():
            continue
        metadata = read_json(pairs_file(study, run))
        if "wall_clock_seconds" not in metadata:  # pairs that were mined elsewhere: nobody timed them
            continue
        bound, minutes = study.run(run), mining_minutes(study, run)
        data = study.declaration.corpora[bound.corpus].label
        for column in study.tables[name].columns:
            yield Cell(corpus, data, metadata.get("recovered_share"), label, run, bound.arm, column.key, column.metric, minutes, None, 1,
                       published.get(column.key), ours=ours, machine=machines(metadata), jobs=len(mining_jobs(metadata)),
                       is_analogue=study.declaration.analogues)  # fmt: skip


def judged_cells(study: Study, name: str, finished: bool = False) -> Iterator[Cell]:
    """Yields the cells of a table of judged pair sets: the mean over the corpora of a label, which weigh the same."""
    by_label: dict[str, list[str]] = {}
    for _, label, run, _, _ in study.table_rows(name):
        by_label.setdefault(label, []).append(run)
    for label, runs in by_label.items():
        judged = [JudgePairs(study, study.pairs_name(study.run(run))) for run in runs]
        if finished and not all(one.is_done for one in judged):
            continue
        for column in study.tables[name].columns:
            mean = judged_mean([one.folder for one in judged], column.metric.partition(".")[2])
            yield Cell(
                f"{len(runs)} corpora", "", None, label, " ".join(runs), study.run(runs[0]).arm, column.key, column.metric,
                mean.value, None, len(runs), None, ours=True, corpora=len(runs), ci_low=mean.low, ci_high=mean.high,
                is_analogue=study.declaration.analogues,
            )  # fmt: skip


def table_content(study: Study, name: str, finished: bool = False, measured: Measured | None = None) -> TableContent:
    """Computes every number of a table. HelipError names the tables there are, or the metrics file that is missing.

    finished: rows that lack a number yet are left out. measured: where metrics files of the study are read already.
    """
    MakeTable(study, name).metrics()
    match study.tables[name]:
        case Table(is_of_times=True):
            cells = time_cells(study, name, finished)
        case Table(is_of_pairs=True):
            cells = judged_cells(study, name, finished)
        case _:
            cells = TableBuilder(study, name, finished, measured).cells()
    return TableContent(study.name, name, study.tables[name], tuple(cells), study.declaration.meaningless)


def csv_text(value: object) -> str:
    """Returns a value as the CSV files hold it: four decimals, nothing for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"  # p-values may be small
    return str(value)


def write_csv(path: Path, columns: type | Sequence[str], rows: Sequence[Any], text: Callable[[Any], str] = csv_text) -> None:
    """Writes dataclasses as a CSV file. columns: the dataclass, or names of its fields and properties; text: formats a value."""
    names = [field.name for field in fields(columns)] if isinstance(columns, type) else list(columns)
    table = pandas.DataFrame([[text(getattr(row, name)) for name in names] for row in rows], columns=names)
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
