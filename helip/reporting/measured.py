"""What a study measured of its runs, read from metrics files: values per seed, and paired differences between two runs."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helip.config import Column
from helip.reporting.metrics import Metrics
from helip.reporting.statistics import chance, chance_over_seeds, paired_draws
from helip.study import BoundStudy, start_seed


@dataclass(frozen=True)
class Difference:
    """`run` minus `over` in percentage points, averaged over columns."""

    value: float  # of run
    over_value: float
    draws: np.ndarray | None  # [resamples] of the bootstrap; None where a metric has no hits per item
    by_cluster: dict[str, float]  # the difference of each start checkpoint, over its refinements

    @property
    def delta(self) -> float:
        return self.value - self.over_value

    @property
    def p(self) -> float | None:
        """Two-sided p-value of "there is no difference": the larger of the bootstrap's and of Student's t over independent trainings."""
        if self.draws is None:
            return None
        each = list(self.by_cluster.values())
        sides = (max(chance(self.draws, 0.0, above), chance_over_seeds(each, 0.0, above)) for above in (True, False))
        return min(1.0, 2 * min(sides))


class Measured:
    """The metrics files of a study, each read once."""

    def __init__(self, study: BoundStudy):
        self.study = study
        self._known = {*study.tasks("evaluate"), *study.tasks("probe")}
        self._metrics: dict[Path, Metrics] = {}
        self._differences: dict[tuple, Difference | None] = {}

    def columns(self, columns: Sequence[Column]) -> list[Column]:
        """Those whose set and task the study evaluates."""
        return [c for c in columns if (c.set, c.metric.partition(".")[0]) in self._known]

    def file(self, run: str, seed: str, column: Column) -> Path:
        return self.study.metrics_file(run, seed, column.set, column.metric.partition(".")[0])

    def is_there(self, run: str | None, columns: Sequence[Column]) -> bool:
        """Whether every metrics file of a run's columns was made."""
        return run is not None and all(self.file(run, s, c).exists() for s in self.study.run(run).seeds for c in columns)

    def read(self, run: str, seed: str, column: Column) -> tuple[Metrics, str]:
        path = self.file(run, seed, column)
        if path not in self._metrics:
            self._metrics[path] = Metrics(path)
        return self._metrics[path], column.metric.partition(".")[2]

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

    def difference(self, run: str, over: str, columns: Sequence[Column], seed: int = 0) -> Difference | None:
        """On paired seeds; None where the two share none. `seed` is of the bootstrap. Claims share many: each is drawn once."""
        asked = (run, over, tuple(c.key for c in columns), tuple(c.metric for c in columns), seed)
        if asked not in self._differences:
            self._differences[asked] = self._difference(run, over, columns, seed)
        return self._differences[asked]

    def _difference(self, run: str, over: str, columns: Sequence[Column], seed: int) -> Difference | None:
        paired = paired_seeds(self.study.run(run).seeds, self.study.run(over).seeds)
        if paired is None:
            return None
        ours, theirs = paired
        a, b = self.values(run, columns, ours), self.values(over, columns, theirs)
        hits = [(self.hits(run, ours, c), self.hits(over, theirs, c)) for c in columns]
        clusters = independent(max(paired, key=lambda p: len(set(p))))
        whole = all(x is not None and y is not None for x, y in hits)
        draws = paired_draws([x for x, _ in hits], [y for _, y in hits], seed=seed, clusters=clusters) if whole else None
        by_cluster = {g: statistics.fmean(x - y for x, y, c in zip(a, b, clusters, strict=True) if c == g) for g in dict.fromkeys(clusters)}
        return Difference(statistics.fmean(a), statistics.fmean(b), draws, by_cluster)


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
