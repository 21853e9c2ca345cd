"""What a study measured of its runs, read from metrics files: values per seed, and paired differences between two runs."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helip.config import Column
from helip.reporting.metrics import Metrics
from helip.reporting.noise import ALONE, Noise, training_noise
from helip.reporting.paired import Paired, Spread, spread
from helip.reporting.statistics import Gain, gain
from helip.stages import metrics_file
from helip.study import Study, start_seed


@dataclass(frozen=True, eq=False)
class Difference:
    """`run` minus `over` in percentage points, averaged over columns."""

    value: float  # of run
    over_value: float
    paired: Paired | None  # None where a metric has no hits per item
    gain: Gain | None

    @property
    def delta(self) -> float:
        return self.value - self.over_value


def two_sided(gain: Gain, noise: Noise) -> float:
    """p-value of "there is no difference"."""
    return min(1.0, 2 * min(gain.p(0.0, above, noise) for above in (True, False)))


class Kind(NamedTuple):
    """What comparisons must have in common to scatter alike: a mean of several columns keeps what a training is better at as a whole."""

    tasks: tuple[str, ...]
    several: bool

    @classmethod
    def of(cls, columns: Sequence[Column]) -> "Kind":
        return cls(tuple(sorted({c.metric.partition(".")[0] for c in columns})), len(columns) > 1)


class Measured:
    """The metrics files of a study, each read once. tables: those whose comparisons say how far trainings scatter."""

    def __init__(self, study: Study, tables: Sequence[str]):
        self.study, self.tables = study, tables
        self._known = {*study.tasks("evaluate"), *study.tasks("probe")}
        self._metrics: dict[Path, Metrics] = {}
        self._differences: dict[tuple, Difference | None] = {}

    def columns(self, columns: Sequence[Column]) -> list[Column]:
        """Those whose set and task the study evaluates."""
        return [c for c in columns if (c.set, c.metric.partition(".")[0]) in self._known]

    def file(self, run: str, seed: str, column: Column) -> Path:
        return metrics_file(self.study, run, seed, column.set, column.metric.partition(".")[0])

    def is_there(self, run: str, columns: Sequence[Column]) -> bool:
        """Whether every metrics file of a run's columns was made."""
        return all(self.file(run, s, c).exists() for s in self.study.run(run).seeds for c in columns)

    def read(self, run: str, seed: str, column: Column) -> tuple[Metrics, str]:
        path = self.file(run, seed, column)
        task, _, name = column.metric.partition(".")
        if path not in self._metrics:
            self._metrics[path] = Metrics(path, run=run, seed=seed, set=column.set, task=task)
        return self._metrics[path], name

    def values(self, run: str, columns: Sequence[Column], seeds: Sequence[str] | None = None) -> list[float]:
        """Percent per seed, averaged over the columns."""
        seeds = seeds or self.study.run(run).seeds
        return [statistics.fmean(m.value(k) for c in columns for m, k in [self.read(run, s, c)]) for s in seeds]

    def recovered_share(self, run: str, column: Column) -> float | None:
        """How much of the published corpus the model was trained on, as its evaluation says."""
        return self.read(run, self.study.run(run).seeds[0], column)[0].content.get("recovered_share")

    def hits(self, run: str, seeds: Sequence[str], column: Column) -> np.ndarray | None:
        """[seeds, items], or None where some file counts no items."""
        hits = [m.hits(k) for s in seeds for m, k in [self.read(run, s, column)]]
        return None if any(h is None for h in hits) else np.stack(hits)

    def difference(self, run: str, over: str, columns: Sequence[Column]) -> Difference | None:
        """On paired seeds; None where the two share none. Claims share many: each is drawn once."""
        asked = (run, over, tuple((c.key, c.metric) for c in columns))
        if asked not in self._differences:
            self._differences[asked] = self._difference(run, over, columns)
        return self._differences[asked]

    def _difference(self, run: str, over: str, columns: Sequence[Column]) -> Difference | None:
        seeds = self._seeds(run, over)
        if seeds is None:
            return None
        paired = self._paired(run, over, *seeds, columns)
        values = (statistics.fmean(self.values(r, columns, s)) for r, s in zip((run, over), seeds, strict=True))
        return Difference(*values, paired, gain([paired]) if paired else None)

    def _seeds(self, run: str, over: str) -> tuple[list[str], list[str]] | None:
        return paired_seeds(self.study.run(run).seeds, self.study.run(over).seeds)

    def _paired(self, run: str, over: str, ours: list[str], theirs: list[str], columns: Sequence[Column]) -> Paired | None:
        hits = [(c.set, self.hits(run, ours, c), self.hits(over, theirs, c)) for c in columns]
        if any(x is None or y is None for _, x, y in hits):
            return None
        start = self.study.run(run).start or run
        # A start stands for all its refinements, which vary; another run that has one training is one training.
        fewer, more = sorted((ours, theirs), key=lambda s: len(set(s)))
        of_start = over == start or self.study.run(over).start == run
        clusters = independent(more if of_start else fewer)
        return Paired(tuple((name, x.astype(np.float32) - y) for name, x, y in hits), tuple(clusters), start)

    def noise(self, compared: Iterable[tuple[str, str]], columns: Sequence[Column]) -> Noise:
        """How far the trainings of comparisons (run, over) scatter, as far as the study knows: of refinements of one start."""
        starts = [[self.study.run(r).start or r for r in pair] for pair in compared]
        return self.noises.get(Kind.of(columns), ALONE) if all(ours == theirs for ours, theirs in starts) else ALONE

    @cached_property
    def noises(self) -> dict[Kind, Noise]:
        """By every row of the tables beside what it is measured against, column by column and averaged."""
        groups: dict[Kind, dict[tuple, list[Spread]]] = {}
        for run, columns in self._measured_rows():
            over = self.study.control_of(run)
            seeds = self._seeds(run, over) if over else None
            if seeds and self.is_there(run, columns) and self.is_there(over, columns):
                paired = self._paired(run, over, *seeds, columns)
                if paired:
                    alike = groups.setdefault(Kind.of(columns), {})
                    alike.setdefault((over, *(c.key for c in columns)), []).append(spread([paired]))
        return {kind: training_noise(alike.values()) for kind, alike in groups.items()}

    def _measured_rows(self) -> list[tuple[str, list[Column]]]:
        """(run, columns) of the tables, each once."""
        rows = {}
        for name in self.tables:
            columns, averaged = self.columns(self.study.tables[name].columns), self.columns(self.study.tables[name].averaged)
            for chosen in [*([c] for c in columns), *([averaged] if len(averaged) > 1 else [])]:
                for _, _, run, _, _ in self.study.table_rows(name):
                    rows[run, *((c.set, c.metric) for c in chosen)] = run, chosen
        return list(rows.values())


def independent(seeds: Sequence[str]) -> list[str]:
    """What each training is a draw of: its pre-training. Where one published checkpoint is refined again and again, its refinement."""
    starts = [start_seed(s) for s in seeds]
    return starts if len(set(starts)) > 1 else list(seeds)


def paired_seeds(ours: Sequence[str], theirs: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Seeds to compare row by row: the same ones, a start checkpoint standing for all its refinements."""
    for longer in (ours, theirs):
        pair = tuple([s if s in pool else start_seed(s) for s in longer] for pool in (ours, theirs))
        if set(pair[0]) <= set(ours) and set(pair[1]) <= set(theirs):
            return pair
    return None
