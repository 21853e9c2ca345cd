"""Computes the paper's tables as typed cells, from metrics files; table 10 from the JSON beside mined pairs."""

import statistics
from collections.abc import Iterator
from typing import Any

from helip.config import Column, Table
from helip.io import read_json
from helip.reporting.cells import AVERAGE, CONTRAST, Cell
from helip.reporting.chance import above_chance
from helip.reporting.judged import judged_mean
from helip.reporting.measured import Measured, machines, mining_jobs, mining_minutes, outlier_share, pairs_file, two_sided
from helip.reporting.statistics import Gain, Noise, gain
from helip.reporting.table_content import TableContent
from helip.stages import JudgePairs, MakeTable
from helip.study import Study


class TableBuilder:
    """Computes the cells of one table: values, published numbers, differences with their intervals, means over corpora, contrasts."""

    def __init__(self, study: Study, name: str, finished: bool = False, measured: Measured | None = None):
        self.study, self.name, self.table, self.finished = study, name, study.tables[name], finished
        self.measured = (measured or Measured(study, [])).of([name])
        self.columns = self.measured.columns(self.table.columns)
        self.dropping = MakeTable(study, name).dropping()

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
        dropped = outlier_share(self.study, run) if run in self.dropping else None
        return Cell(
            corpus, data, recovered, label, run, bound.arm, key, metric, statistics.fmean(values), std, len(values),
            self._printed(run, key, columns), ours=ours, published_delta=self._printed_gain(run, key, columns), at_chance=left_out,
            dropped=dropped, is_analogue=self.study.declaration.analogues, **self._delta(run, columns),
        )  # fmt: skip

    def _averaged(self, run: str) -> list[Column]:
        """The columns that a row is averaged over: those whose start is above chance."""
        return above_chance(self.measured, run, [c for c in self.table.averaged if c in self.columns])

    def _at_chance(self, run: str) -> str:
        averaged = self._averaged(run)
        return " ".join(c.key for c in self.table.averaged if c in self.columns and c not in averaged)

    def _is_finished(self, run: str) -> bool:
        runs = [run, self.study.control_of(run) or run]
        mined = run not in self.dropping or self.dropping[run].is_done
        return mined and all(self.measured.is_there(r, self.columns) for r in runs)

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
