"""The paper's tables from metrics files: a CSV with one row per method and column, and Markdown and LaTeX pages to read."""

import csv
import statistics
from collections.abc import Iterator
from pathlib import Path

from helip.config import Column
from helip.io import atomic_file
from helip.reporting.inputs import is_of_times
from helip.reporting.latex import latex
from helip.reporting.markdown import markdown
from helip.reporting.measured import Measured, two_sided
from helip.reporting.noise import Noise
from helip.reporting.published import printed_average
from helip.reporting.rows import CONTRAST, FIELDS, Cell, csv_text
from helip.reporting.statistics import Gain, gain
from helip.reporting.times import time_cells
from helip.stages import MakeTable
from helip.study import Study


class TableBuilder:
    def __init__(self, study: Study, name: str, finished: bool = False):
        self.study, self.name, self.table, self.finished = study, name, study.tables[name], finished
        self.measured = Measured(study, [name])
        self.columns = self.measured.columns(self.table.columns)

    def _delta(self, run: str, columns: list[Column]) -> dict[str, float | str | None]:
        """Difference to the run it is measured against, on shared seeds; a start's checkpoint stands for all its refinements."""
        reference = self.study.control_of(run)
        found = self.measured.difference(run, reference, columns) if reference else None
        if found is None:
            return {}
        return {"reference": reference, "delta": found.delta} | _how_sure(found.gain, self.measured.noise([(run, reference)], columns))

    def _cell(
        self, corpus: str, label: str, run: str, key: str, metric: str, columns: list[Column], published: float | None, ours: bool
    ) -> Cell:
        bound, values = self.study.run(run), self.measured.values(run, columns)
        recovered = self.measured.recovered_share(run, columns[0])
        std = statistics.stdev(values) if len(values) > 1 else None
        data = self.study.declaration.corpora[bound.corpus].label
        return Cell(corpus, data, recovered, label, run, bound.arm, key, metric, statistics.fmean(values), std, len(values), published,
                    ours=ours, **self._delta(run, columns))  # fmt: skip

    def _is_finished(self, run: str) -> bool:
        runs = [run, self.study.control_of(run) or run]
        return all(self.measured.is_there(r, self.columns) for r in runs)

    def _compared(self, corpus: str, label: str, arm: str, pairs: list[tuple[str, str]]) -> Iterator[Cell]:
        """The mean of comparisons (run, over), which weigh the same; `run` and `reference` hold all their names."""
        runs, others = zip(*pairs, strict=True)
        for key, metric, columns in self._columns():
            found = [self.measured.difference(*pair, columns) for pair in pairs]
            if any(d is None for d in found):
                continue
            values = [self.measured.values(run, columns) for run in runs]
            together = gain([d.paired for d in found]) if all(d.paired for d in found) else None
            yield Cell(
                corpus, "", None, label, " ".join(runs), arm, key, metric, statistics.fmean(map(statistics.fmean, values)), None,
                sum(map(len, values)), None, " ".join(others), statistics.fmean(d.delta for d in found), ours=True, corpora=len(pairs),
                **_how_sure(together, self.measured.noise(pairs, columns)),
            )  # fmt: skip

    def _pooled(self, rows: list[tuple], done: set[str]) -> Iterator[Cell]:
        """The mean over corpora of the rows of one label, where all are done and measured against something."""
        for label in dict.fromkeys(label for _, label, _, _, _ in rows):
            pairs = [(run, self.study.control_of(run)) for _, other, run, _, _ in rows if other == label]
            if self._over_corpora(pairs, done) and all(over for _, over in pairs):
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

    def _over_corpora(self, pairs: list[tuple[str, str | None]], done: set[str]) -> bool:
        return (
            len({self.study.run(run).corpus for run, _ in pairs}) == len(pairs) > 1
            and {run for pair in pairs for run in pair} - {None} <= done
        )

    def _columns(self) -> list[tuple[str, str, list[Column]]]:
        """(key, metric, columns): each by itself, then the average."""
        averaged = [c for c in self.table.averaged if c in self.columns]
        return [(c.key, c.metric, [c]) for c in self.columns] + [("average", "mean", averaged)] * (len(averaged) > 1)

    def cells(self) -> Iterator[Cell]:
        rows = [r for r in self.study.table_rows(self.name) if self.columns and (not self.finished or self._is_finished(r[2]))]
        for corpus, label, run, published, ours in rows:
            for key, metric, columns in self._columns():
                printed = published.get(key)
                if key == "average":
                    printed = printed_average(self.table, published) if len(columns) == len(self.table.averaged) else None
                yield self._cell(corpus, label, run, key, metric, columns, printed, ours)
        declared, done = self.study.table_rows(self.name), {run for _, _, run, _, _ in rows}
        if self.table.pooled:
            yield from self._pooled(declared, done)
        yield from self._contrasts(declared, done)


def _how_sure(gain: Gain | None, noise: Noise) -> dict[str, float]:
    if gain is None:
        return {}
    low, high = gain.interval(noise)
    return {"delta_ci_low": low, "delta_ci_high": high, "delta_p": two_sided(gain, noise)}


def cells_of(study: Study, name: str, finished: bool = False) -> list[Cell]:
    """Every number of a table; an unknown table is an error with the known ones in it. finished: without rows that lack a number yet."""
    MakeTable(study, name).metrics()
    times = is_of_times(study.tables[name])
    return list(time_cells(study, name, finished) if times else TableBuilder(study, name, finished).cells())


def write_csv(cells: list[Cell], path: Path) -> None:
    with atomic_file(path) as temporary, open(temporary, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows([csv_text(getattr(cell, field)) for field in FIELDS] for cell in cells)


def write_table(study: Study, name: str, finished: bool = False) -> str:
    """Builds results/<study>/<name>.csv, .md and .tex; returns the Markdown. finished: of the rows whose runs are done."""
    cells = cells_of(study, name, finished)
    pages = {"md": markdown(study, name, cells), "tex": latex(study, name, cells)}
    write_csv(cells, study.root / f"{name}.csv")
    for ending, text in pages.items():
        with atomic_file(study.root / f"{name}.{ending}") as temporary:
            temporary.write_text(text)
    return pages["md"]
