"""What a study measured of its runs, read from metrics files: values per seed, and paired differences between two runs.

A metrics file, as a job writes it, is {metrics: {name: percent}, per_item: {name: packed hits}, n, ...}.
"""

import base64
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from helip.config import Column
from helip.errors import HelipError
from helip.io import read_json
from helip.reporting.statistics import ALONE, Gain, Noise, Paired, Spread, gain, spread, training_noise
from helip.stages import Mine, metrics_file
from helip.study import Study, independent, paired_seeds


class Metrics:
    """One model on one set and task. `value(name)` is in percent. `hits(name)` [n] is what each independent item adds to it: 0 or 1, and
    another number for an image of several captions, which are one item. `queries(name)` [q] is whether each query was answered rightly.
    """

    def __init__(self, path: Path, **of: str):
        self.path, self.content = path, read_json(path)
        if wrong := [key for key, name in of.items() if self.content.get(key, name) != name]:
            claimed = ", ".join(f"{key} '{self.content[key]}'" for key in wrong)
            raise HelipError(f"{path}: is of {claimed}: it was put in another's place; remove it, and the next run makes it again")

    def value(self, name: str) -> float:
        """Returns a metric in percent; HelipError names the metrics that the file has."""
        try:
            return float(self.content["metrics"][name])
        except KeyError:
            has = ", ".join(sorted(self.content.get("metrics", {}))) or "none"
            raise HelipError(
                f"{self.path}: has no metric '{name}' (it has {has}); correct the column or the contrast that names it"
            ) from None

    def queries(self, name: str) -> np.ndarray | None:
        """Returns bool [q], one for each query; None where the file counts no items."""
        packed = self.content.get("per_item", {}).get(name)
        if packed is None:
            return None
        bits = np.frombuffer(base64.b64decode(packed["bits"]), np.uint8)
        hits = np.unpackbits(bits, count=packed["length"]).astype(bool)
        if abs(100 * hits.mean() - self.value(name)) > 1e-3:
            raise HelipError(f"{self.path}: {name} is not the share of the hits beside it; remove it, and the next run makes it again")
        return hits

    def hits(self, name: str) -> np.ndarray | None:
        """Returns [n], one for each independent item, whose mean is the metric; None where the file counts no items."""
        hits = self.queries(name)
        return hits if hits is None else per_image(hits, self._together(name))

    def most(self, name: str) -> np.ndarray:
        """Returns [n], what each independent item adds where all its queries are answered rightly; KeyError where no items are counted."""
        return per_image(np.ones(self.content["per_item"][name]["length"]), self._together(name))

    def _together(self, name: str) -> int | list[int]:
        together: int | list[int] = self.content["per_item"][name].get("together", 1)
        return together


def per_image(hits_Q: np.ndarray, together: int | list[int]) -> np.ndarray:
    """Returns [N]: the hits of each image, over the queries of an image on average. Where images have different numbers of captions an
    image can add more than 1, and the mean is the share of all queries still.

    together: the queries in a row that are of one image, or a list of their numbers.
    """
    if together == 1:
        return hits_Q
    if isinstance(together, int):
        return hits_Q.reshape(-1, together).mean(1)
    counts_N = np.array(together)
    sums_N: np.ndarray = np.add.reduceat(hits_Q.astype(np.float64), np.cumsum(counts_N) - counts_N)
    return sums_N / counts_N.mean()


@dataclass(frozen=True, eq=False)
class Difference:
    """`run` minus `over` in percentage points, averaged over columns."""

    value: float  # of run
    over_value: float
    paired: Paired | None  # None where a metric has no hits per item

    @property
    def delta(self) -> float:
        """`run` minus `over`, in percentage points."""
        return self.value - self.over_value

    @cached_property
    def gain(self) -> Gain | None:
        """The difference with the draws of its bootstrap; None where a metric has no hits per item."""
        return gain([self.paired]) if self.paired else None


def two_sided(gain: Gain, noise: Noise) -> float:
    """Returns the p-value against "there is no difference"."""
    return min(1.0, 2 * min(gain.p(0.0, above, noise) for above in (True, False)))


class Kind(NamedTuple):
    """What comparisons must have in common to scatter alike: a mean of several columns keeps what a training is better at as a whole."""

    tasks: tuple[str, ...]
    several: bool

    @classmethod
    def of(cls, columns: Sequence[Column]) -> "Kind":
        """Returns the kind of a comparison over these columns."""
        return cls(tuple(sorted({c.metric.partition(".")[0] for c in columns})), len(columns) > 1)


class Measured:
    """The metrics files of a study, each read once. tables: those whose comparisons say how far trainings scatter."""

    def __init__(self, study: Study, tables: Sequence[str]):
        self.study, self.tables = study, tables
        self._known = {*study.tasks("evaluate"), *study.tasks("probe")}
        self._metrics: dict[Path, Metrics] = {}
        self._differences: dict[tuple, Difference | None] = {}

    def of(self, tables: Sequence[str]) -> "Measured":
        """Returns the same files and differences, with other tables to say how far trainings scatter."""
        other = Measured(self.study, tables)
        other._metrics, other._differences = self._metrics, self._differences
        return other

    def columns(self, columns: Sequence[Column]) -> list[Column]:
        """Returns those whose set and task the study evaluates."""
        return [c for c in columns if (c.set, c.metric.partition(".")[0]) in self._known]

    def file(self, run: str, seed: str, column: Column) -> Path:
        """Returns the metrics file that a column of a run is read from."""
        return metrics_file(self.study, run, seed, column.set, column.metric.partition(".")[0])

    def is_there(self, run: str, columns: Sequence[Column]) -> bool:
        """Returns whether every metrics file of a run's columns was made."""
        return all(self.file(run, s, c).exists() for s in self.study.run(run).seeds for c in columns)

    def read(self, run: str, seed: str, column: Column) -> tuple[Metrics, str]:
        """Returns (metrics file, name of the column's metric in it)."""
        path = self.file(run, seed, column)
        task, _, name = column.metric.partition(".")
        if path not in self._metrics:
            self._metrics[path] = Metrics(path, run=run, seed=seed, set=column.set, task=task)
        return self._metrics[path], name

    def values(self, run: str, columns: Sequence[Column], seeds: Sequence[str] | None = None) -> list[float]:
        """Returns percent per seed, averaged over the columns."""
        seeds = seeds or self.study.run(run).seeds
        return [statistics.fmean(m.value(k) for c in columns for m, k in [self.read(run, s, c)]) for s in seeds]

    def recovered_share(self, run: str, column: Column) -> float | None:
        """Returns the share of the published corpus that the model was trained on, as its evaluation says."""
        return self.read(run, self.study.run(run).seeds[0], column)[0].content.get("recovered_share")

    def hits(self, run: str, seeds: Sequence[str], column: Column) -> np.ndarray | None:
        """Returns hits [seeds, items], or None where some file counts no items."""
        hits = [m.hits(k) for s in seeds for m, k in [self.read(run, s, column)]]
        counted = [h for h in hits if h is not None]
        return np.stack(counted) if len(counted) == len(hits) else None

    def queries(self, run: str, seeds: Sequence[str], column: Column) -> np.ndarray | None:
        """Returns whether each query was answered rightly, bool [seeds, queries], or None where some file counts no items."""
        queries = [q for s in seeds for m, k in [self.read(run, s, column)] if (q := m.queries(k)) is not None]
        return np.stack(queries) if len(queries) == len(seeds) else None

    def difference(self, run: str, over: str, columns: Sequence[Column]) -> Difference | None:
        """Returns the difference on paired seeds; None where the two share none. Each is computed once: tables and claims share many."""
        key = (run, over, tuple((c.set, c.metric) for c in columns))
        if key not in self._differences:
            self._differences[key] = self._difference(run, over, columns)
        return self._differences[key]

    def _difference(self, run: str, over: str, columns: Sequence[Column]) -> Difference | None:
        seeds = self._seeds(run, over)
        if seeds is None:
            return None
        paired = self._paired(run, over, *seeds, columns)
        value, over_value = (statistics.fmean(self.values(r, columns, s)) for r, s in zip((run, over), seeds, strict=True))
        return Difference(value, over_value, paired)

    def _seeds(self, run: str, over: str) -> tuple[list[str], list[str]] | None:
        return paired_seeds(self.study.run(run).seeds, self.study.run(over).seeds)

    def _paired(self, run: str, over: str, ours: list[str], theirs: list[str], columns: Sequence[Column]) -> Paired | None:
        hits = [(c.set, self.hits(run, ours, c), self.hits(over, theirs, c)) for c in columns]
        counted = [(name, np.subtract(x, y, dtype=np.float64).astype(np.float32)) for name, x, y in hits if x is not None and y is not None]
        if len(counted) < len(hits):
            return None
        return Paired(tuple(counted), self._clusters(run, over, ours, theirs), self._start(run))

    def _clusters(self, run: str, over: str, ours: list[str], theirs: list[str]) -> tuple[str, ...]:
        """What each pair of trainings is an independent draw of."""
        start = self._start(run)
        # A start stands for all its refinements, which vary; another run that has one training is one training.
        fewer, more = sorted((ours, theirs), key=lambda s: len(set(s)))
        of_start = over == start or self.study.run(over).start == run
        return tuple(independent(more if of_start else fewer))

    def planted(self, run: str, over: str, columns: Sequence[Column], points: Sequence[float]) -> Paired | None:
        """Returns the pair as it would be if `run` were `points` (a number for each column) above `over`: its hits are raised, or lowered,
        until that is so, and how it scatters stays. None where nothing is paired or counted."""
        seeds = self._seeds(run, over)
        paired = self._paired(run, over, *seeds, columns) if seeds else None
        if seeds is None or paired is None:
            return None
        moved = []
        for (name, d_Sn), column, wanted in zip(paired.columns, columns, points, strict=True):
            ours_Sn = self.hits(run, seeds[0], column)
            assert ours_Sn is not None  # as `_paired` has found
            metrics, metric = self.read(run, seeds[0][0], column)
            share, key = wanted / 100 - float(d_Sn.mean()), f"{run} {column.key}"
            moved.append((name, d_Sn + raised(ours_Sn, share, key, metrics.most(metric))))
        return Paired(tuple(moved), paired.clusters, paired.start)

    def beside_level(self, run: str, columns: Sequence[Column], level: float) -> Paired | None:
        """Returns a run beside a number that somebody published, percent; None where a metric has no hits per item."""
        seeds = list(self.study.run(run).seeds)
        hits = [(c.set, self.hits(run, seeds, c)) for c in columns]
        counted = [(name, x.astype(np.float64) - level / 100) for name, x in hits if x is not None]
        return Paired(tuple(counted), tuple(independent(seeds)), run) if len(counted) == len(hits) else None

    def noise(self, compared: Iterable[tuple[str, str]], columns: Sequence[Column]) -> Noise:
        """Returns how far the trainings of comparisons (run, over) scatter. The study knows it of differences between refinements of one
        start alone: not of a run beside a published level, which stands on both sides, as whole pre-trainings scatter there."""
        known = all(run != over and self._start(run) == self._start(over) for run, over in compared)
        return self.noises.get(Kind.of(columns), ALONE) if known else ALONE

    def _start(self, run: str) -> str:
        return self.study.run(run).start or run

    @cached_property
    def noises(self) -> dict[Kind, Noise]:
        """The noise of each kind, estimated from every row of the tables beside its reference, column by column and averaged."""
        groups: dict[Kind, dict[tuple, list[Spread]]] = {}
        for run, columns in self._measured_rows():
            over = self.study.control_of(run)
            seeds = self._seeds(run, over) if over else None
            if over and seeds and self.is_there(run, columns) and self.is_there(over, columns):
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


def raised(hits_Sn: np.ndarray, share: float, key: str, most_n: np.ndarray | float = 1.0) -> np.ndarray:
    """Returns what to add to hits [S, n], 0 to `most_n` each, so that their mean rises by `share` (falls, where it is negative), as far as
    there are misses to turn. All trainings turn items in the same drawn order, as a gain that is real does; `key` seeds it.

    most_n: what an item has without a miss, [n] or the same for all; an image of more captions than others has more than 1.
    """
    order_n = np.random.default_rng(list(key.encode())).permutation(hits_Sn.shape[1])
    room_Sn = (np.maximum(most_n - hits_Sn, 0.0) if share > 0 else hits_Sn.astype(np.float64))[:, order_n]
    turned_Sn = np.clip(abs(share) * hits_Sn.shape[1] - (np.cumsum(room_Sn, 1) - room_Sn), 0, room_Sn)
    added_Sn = np.empty_like(turned_Sn)
    added_Sn[:, order_n] = turned_Sn
    return added_Sn if share > 0 else -added_Sn


# ---------------------------------------------------------------- times of mining


def pairs_file(study: Study, run: str) -> Path:
    """Returns the JSON beside the pairs that a run trains with."""
    return Mine(study, study.pairs_name(study.run(run))).folder / "pairs.json"


def mining_minutes(study: Study, run: str) -> float:
    """Returns the wall-clock of the job that mined a run's pairs, or the sum over its jobs."""
    path = pairs_file(study, run)
    seconds = read_json(path).get("wall_clock_seconds")
    if seconds is None:
        raise HelipError(f"{path}: does not say how long mining took; mine again (`snakemake --forcerun mine {path}`)")
    return float(seconds) / 60


def outlier_share(study: Study, run: str) -> float:
    """Returns the share of the mined targets that a run's pairs call noise. HelipError where they do not say."""
    path = pairs_file(study, run)
    share = read_json(path).get("outlier_share")
    if share is None:
        raise HelipError(f"{path}: does not say how many targets are noise; mine again (`snakemake --forcerun mine {path}`)")
    return float(share)


def mining_jobs(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what the jobs that mined a pair set recorded: its shards' records, or its own. metadata: its pairs.json."""
    return metadata.get("mined_by") or [metadata]


def machines(metadata: dict[str, Any]) -> str:
    """Returns the machines that mined a pair set, as its jobs name them."""
    return " and ".join(sorted({job.get("machine") or job.get("host", "") for job in mining_jobs(metadata)}))
