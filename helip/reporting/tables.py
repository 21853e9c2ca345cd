"""The paper's tables from metrics files: a CSV with one row per method and column, and a Markdown page to read."""

import csv
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helip.artefact import read_json, whole_file
from helip.config import Column
from helip.reporting.metrics import Metrics
from helip.reporting.statistics import paired_bootstrap
from helip.study import BoundStudy, start_seed

FIELDS = (
    "corpus", "data", "recovered", "method", "run", "arm", "column", "metric", "value", "std", "n_seeds", "published", "reference", "delta",
    "delta_ci_low", "delta_ci_high",
)  # fmt: skip


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


class TableBuilder:
    def __init__(self, study: BoundStudy, name: str):
        self.study, self.name, self.table = study, name, study.tables[name]
        known = {*study.tasks("evaluate"), *study.tasks("probe")}
        self.columns = [c for c in self.table.columns if (c.set, c.metric.partition(".")[0]) in known]
        self._metrics: dict[Path, Metrics] = {}

    def _read(self, run: str, seed: str, column: Column) -> tuple[Metrics, str]:
        task, _, metric = column.metric.partition(".")
        path = self.study.metrics_file(run, seed, column.set, task)
        if path not in self._metrics:
            self._metrics[path] = Metrics(path)
        return self._metrics[path], metric

    def _values(self, run: str, columns: list[Column]) -> list[float]:
        """Percent per seed, averaged over the columns."""
        return [statistics.fmean(m.value(k) for c in columns for m, k in [self._read(run, s, c)]) for s in self.study.run(run).seeds]

    def _hits(self, run: str, seeds: list[str], column: Column) -> np.ndarray | None:
        hits = [m.hits(k) for s in seeds for m, k in [self._read(run, s, column)]]
        return None if any(h is None for h in hits) else np.stack(hits)

    def _delta(self, run: str, columns: list[Column]) -> dict[str, float | str | None]:
        """Difference to the run it is measured against, on shared seeds; a start's checkpoint stands for all its refinements."""
        reference = self.study.control_of(run)
        if reference is None:
            return {}
        seeds = list(self.study.run(run).seeds)
        theirs = [s if s in self.study.run(reference).seeds else start_seed(s) for s in seeds]
        if not set(theirs) <= set(self.study.run(reference).seeds):
            return {}
        pairs = [(self._hits(run, seeds, c), self._hits(reference, theirs, c)) for c in columns]
        values = {run: seeds, reference: theirs}
        means = {r: statistics.fmean(m.value(k) for s in v for c in columns for m, k in [self._read(r, s, c)]) for r, v in values.items()}
        found = {"reference": reference, "delta": means[run] - means[reference]}
        if all(a is not None and b is not None for a, b in pairs):
            interval = paired_bootstrap([a for a, _ in pairs], [b for _, b in pairs])
            found |= {"delta_ci_low": interval.low, "delta_ci_high": interval.high}
        return found

    def _cell(self, corpus: str, label: str, run: str, key: str, metric: str, columns: list[Column], published: float | None) -> Cell:
        bound, values = self.study.run(run), self._values(run, columns)
        manifest = read_json(self.study.manifest(bound.corpus))
        std = statistics.stdev(values) if len(values) > 1 else None
        data = self.study.declaration.corpora[bound.corpus].label
        return Cell(corpus, data, manifest.get("recovered_share"), label, run, bound.arm, key, metric, statistics.fmean(values), std,
                    len(values), published, **self._delta(run, columns))  # fmt: skip

    def cells(self) -> Iterator[Cell]:
        for corpus, label, run, published, _ in self.study.table_rows(self.name):
            if run is None:
                continue
            for column in self.columns:
                yield self._cell(corpus, label, run, column.key, column.metric, [column], published.get(column.key))
            if self.table.average and len(self.columns) > 1:
                whole = len(published) == len(self.table.columns) == len(self.columns)
                average = round(statistics.fmean(published.values()), 2) if whole else None
                yield self._cell(corpus, label, run, "average", "mean", self.columns, average)


def write_csv(cells: list[Cell], path: Path) -> None:
    with whole_file(path) as temporary, open(temporary, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows([_number(getattr(cell, field)) for field in FIELDS] for cell in cells)


def _number(value) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def markdown(study: BoundStudy, name: str, cells: list[Cell]) -> str:
    """The table as the paper prints it, then every refinement against plain continued training."""
    table = study.tables[name]
    labels = {c.key: c.label for c in table.columns} | {"average": "Average"}
    keys = list(dict.fromkeys(c.column for c in cells))
    lines = [f"# {table.title}", "", f"{table.place} of arXiv 2305.05208, study `{study.name}`. Ours ± std over seeds (published).", ""]
    lines += [_row(["Data", "Method", *(labels[k] for k in keys), "Seeds"]), _row(["---"] * (len(keys) + 3))]
    by_run = _by_run(cells)
    lines += [_row([_data(row[0]), row[0].method, *(_value(c) for c in row), row[0].n_seeds]) for row in by_run]
    compared = [row for row in by_run if row[0].delta is not None]
    if compared:
        lines += ["", "## Differences", "", "Percentage points with a 95 % interval: paired bootstrap over seeds and test items.", ""]
        lines += [_row(["Method", "minus", *(labels[k] for k in keys)]), _row(["---"] * (len(keys) + 2))]
        lines += [_row([f"{row[0].corpus} {row[0].method}", f"`{row[0].reference}`", *(_difference(c) for c in row)]) for row in compared]
    return "\n".join([*lines, *(["", table.note] if table.note else []), ""])


def _by_run(cells: list[Cell]) -> list[list[Cell]]:
    rows: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.corpus, cell.method, cell.run), []).append(cell)
    return list(rows.values())


def _row(values: list) -> str:
    return f"| {' | '.join(map(str, values))} |"


def _data(cell: Cell) -> str:
    share = "" if cell.recovered is None or cell.recovered >= 1 else f", {100 * cell.recovered:.0f} % recovered"
    return f"{cell.corpus} ({cell.data}{share})" if cell.data or share else cell.corpus


def _value(cell: Cell) -> str:
    spread = "" if cell.std is None else f" ± {cell.std:.2f}"
    published = "" if cell.published is None else f" ({cell.published:.2f})"
    return f"{cell.value:.2f}{spread}{published}"


def _difference(cell: Cell) -> str:
    interval = "" if cell.delta_ci_low is None else f" [{cell.delta_ci_low:+.2f}, {cell.delta_ci_high:+.2f}]"
    return f"{cell.delta:+.2f}{interval}"


def write_table(study: BoundStudy, name: str) -> str:
    """Builds results/<study>/<name>.csv and .md; returns the Markdown."""
    study.table_metrics(name)  # an unknown table is an error with the known ones in it
    cells = list(TableBuilder(study, name).cells())
    text = markdown(study, name, cells)
    write_csv(cells, study.root / f"{name}.csv")
    with whole_file(study.root / f"{name}.md") as temporary:
        temporary.write_text(text)
    return text
