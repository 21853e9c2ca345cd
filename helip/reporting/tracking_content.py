"""What MLflow shows of a study, read from files that jobs wrote: a run a training, a parent for the seeds of a run, one for the study.

Nothing here knows MLflow: tracking_store.py writes these into a store or a server.
"""

import csv
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from helip.config import Column
from helip.io import read_json
from helip.reporting.measured import Measured, independent, paired_seeds
from helip.reporting.provenance import interval_of_job
from helip.stages import BuildCorpus, BuildEvaluationSet, drawn_pairs, metrics_file, model_of, pairs_of, selection_of
from helip.study import Study, seed_number, start_seed
from helip.study.resolve import ResolvedRun

AVERAGE, GAIN = "average_zeroshot", "gain_over_control"
# Of each set, and how it ends the name; other metrics stand in the metrics files, which are artifacts. MLflow shows metrics by the alphabet
# and those with a slash in their names above all others: "on" and "train" come after the summary, and no name has a slash.
MAIN = {"acc1": "", "image_recall_at_1": ".text_to_image", "text_recall_at_1": ".image_to_text"}
ARMS = {
    "start": "A pre-training, which refinements begin from.",
    "control": "Plain continued training: the same steps and batches, no hard pairs.",
    "cleaned": "Continued training without the noise targets that mining found.",
    "helip": "Refinement with mined hard pairs in its batches.",
}


@dataclass(frozen=True)
class Point:
    """One number of a metric; `at` is in milliseconds since 1970."""

    name: str
    value: float
    step: int
    at: int


@dataclass(frozen=True)
class DatasetUse:
    """A corpus or an evaluation set that a training used. `context` is training or evaluation."""

    name: str
    digest: str
    source: str
    size: int | None
    context: str


@dataclass(frozen=True)
class RunContent:
    """One run of MLflow. Times are in milliseconds since 1970; `artifacts` are path in the run -> file of the study."""

    key: str
    name: str
    kind: str  # training, seeds or study
    begun: int
    ended: int
    note: str
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    datasets: tuple[DatasetUse, ...] = ()
    artifacts: dict[str, Path] = field(default_factory=dict)


def rounded(value: float) -> float:
    """Returns a number with four significant digits, as MLflow's columns have room for."""
    return float(f"{value:.4g}")


def milliseconds(time: str) -> int:
    """Returns an ISO time as milliseconds since 1970; 0 for a file that does not say one."""
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    except ValueError:
        return 0


def key_of(study: Study, run: str | None = None, seed: str | None = None) -> str:
    """Returns the name by which a run of MLflow is known: study/run/seed0, study/run for all its seeds, study."""
    return "/".join([study.name, *([run] if run else []), *([f"seed{seed}"] if seed is not None else [])])


def label(run: ResolvedRun) -> str:
    """Returns the short name of a run: what it does, then its start: 'helip_t5 · cc3m_clip'; 'start · cc3m_clip' for the start itself."""
    if run.start is None:
        return f"start · {run.name}"
    return f"{run.name.removeprefix(run.start).lstrip('_') or run.name} · {run.start}"


def settings(study: Study, run: ResolvedRun) -> dict[str, Any]:
    """Returns what a run is, resolved: corpus, model, arm, recipe, mining and selection."""
    parts: dict[str, Any] = {"corpus": run.corpus, "model": run.model, "arm": run.arm}
    parts |= dict(_flat(run.recipe.model_dump(mode="json")))
    if run.pairs is not None:
        parts |= {f"mining.{k}": v for k, v in _flat(run.pairs.model_dump(mode="json"))}
    if run.select is not None:
        parts |= {f"selection.{k}": v for k, v in _flat(run.select.model_dump(mode="json"))}
    if run.interpolate is not None:
        parts["interpolate.weight"] = run.interpolate.weight
    return {k: v for k, v in parts.items() if v is not None}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


class Contents:
    """Makes the runs of one study. `done` says which trainings are there; metrics files are read when they are shown."""

    def __init__(self, study: Study):
        self.study = study
        self.measured = Measured(study, [study.report.question.table])

    @cached_property
    def columns(self) -> list[Column]:
        """The columns of `average_zeroshot` and `gain_over_control`: those that the table of the report's question averages."""
        table = self.study.tables[self.study.report.question.table]
        return self.measured.columns(table.averaged or table.columns)

    def done(self) -> list[tuple[str, str]]:
        """Returns (run, seed) of every training that is done, starts before what is refined from them."""
        runs = sorted(self.study.runs.values(), key=lambda run: run.start is not None)
        return [(r.name, s) for r in runs for s in r.seeds if (model_of(self.study, r.name, s).folder / "train.json").exists()]

    # ------------------------------------------------------------ files

    def metrics_files(self, run: str, seed: str) -> list[Path]:
        """Returns the metrics files of a training that are there."""
        tasks = [*self.study.tasks("evaluate"), *self.study.tasks("probe")]
        return [path for task in tasks if (path := metrics_file(self.study, run, seed, *task)).exists()]

    def files(self, run: str, seed: str) -> list[Path]:
        """Returns the files that a training's run of MLflow is made from."""
        folder, over = model_of(self.study, run, seed).folder, self._control(run, seed)
        files = [folder / "train.json", folder / "curve.csv", *self.metrics_files(run, seed), *self._mined(run, seed).values()]
        files += self.metrics_files(*over) if over else []
        return [path for path in files if path.exists()]

    def _mined(self, run: str, seed: str) -> dict[str, Path]:
        """The JSON beside the pairs and beside the selection of a training."""
        resolved = self.study.run(run)
        files = {"pairs": drawn_pairs(self.study, run, seed).output} if resolved.pairs is not None else {}
        return files | ({"selection": selection_of(self.study, run, seed).folder / "selection.json"} if resolved.select is not None else {})

    def _control(self, run: str, seed: str) -> tuple[str, str] | None:
        """The training that a training is measured against: of the same seed, or the start's that stands for all its refinements."""
        over = self.study.control_of(run)
        if over is None:
            return None
        seeds = self.study.run(over).seeds
        return next(((over, s) for s in (seed, start_seed(seed)) if s in seeds), None)

    # ------------------------------------------------------------ one training

    def training(self, run: str, seed: str) -> RunContent:
        """Returns the run of one training."""
        study, resolved, folder = self.study, self.study.run(run), model_of(self.study, run, seed).folder
        train = read_json(folder / "train.json")
        begun, ended = map(milliseconds, interval_of_job(train))
        curve = tuple(_curve(folder / "curve.csv", begun, ended))
        sets = [Point(name, rounded(value), 0, ended) for name, value in self._of_sets(run, seed).items()]
        shares = {name: str(rounded(share)) for name, share in self._shares(run, seed).items()}
        declared = _flat(train["declaration"]) if run in study.declaration.published or resolved.interpolate else ()
        params = settings(study, resolved) | dict(declared) | {"seed": seed_number(seed)} | shares
        return RunContent(
            key_of(study, run, seed), f"s{seed} {label(resolved)}", "training", begun, ended, self._note(resolved, train),
            self._tags(resolved, seed, train), {k: str(v) for k, v in params.items()}, (*sets, *curve), tuple(self._datasets(run, seed)),
            self._artifacts(run, seed),
        )  # fmt: skip

    def _of_sets(self, run: str, seed: str) -> dict[str, float]:
        values: dict[str, float] = {}
        if self._has_summary(run, seed):
            average, over = self._average(run, seed), self._control(run, seed)
            if over and self._has_summary(*over):
                values[GAIN] = average - self._average(*over)
            values[AVERAGE] = average
        for path in self.metrics_files(run, seed):
            one = read_json(path)
            name = f"on.{one['set']}{'.probe' if one['task'] == 'probe' else ''}"
            values |= {f"{name}{end}": float(one["metrics"][metric]) for metric, end in MAIN.items() if metric in one["metrics"]}
        return values

    def _has_summary(self, run: str, seed: str) -> bool:
        return bool(self.columns) and all(self.measured.file(run, seed, column).exists() for column in self.columns)

    def _average(self, run: str, seed: str) -> float:
        return self.measured.values(run, self.columns, [seed])[0]

    def _shares(self, run: str, seed: str) -> dict[str, float]:
        """The shares of the targets and of the pairs that mining and selection left out."""
        shares, files = {}, self._mined(run, seed)
        if (path := files.get("pairs")) and path.exists() and (mined := read_json(path)).get("targets"):
            shares["mining.share_dropped"] = mined["noise_targets"] / mined["targets"]
        if (path := files.get("selection")) and path.exists() and (selected := read_json(path)).get("size"):
            shares["selection.share_dropped"] = 1 - selected["kept"] / selected["size"]
        return shares

    def _note(self, run: ResolvedRun, train: dict[str, Any]) -> str:
        """What MLflow shows as the description, in Markdown; {start} is filled in by the store with a link to the start's run."""
        parts = [run.question or ARMS[run.arm]]
        if run.start is not None:
            parts.append("Started from {start}.")
        if warnings := "\n".join(train.get("warnings", [])):
            parts.append(f"Warnings:\n\n{warnings[:5000]}")
        return "\n\n".join(parts)

    def _tags(self, run: ResolvedRun, seed: str, train: dict[str, Any]) -> dict[str, str]:
        commit, study = str(train.get("commit") or ""), self.study
        tags = {"corpus": run.corpus, "model": run.model, "arm": run.arm, "folder": str(model_of(study, run.name, seed).folder)}
        tags |= {name: str(train.get(name, "")) for name in ("host", "machine", "digest")}
        if run.start:
            tags["start"] = key_of(study, run.start, start_seed(seed))
        if run.pairs is not None:
            tags["pairs"] = study.pairs_name(run)
        if run.select is not None:
            tags["selection"] = study.selection_name(run.name)
        if (share := train.get("recovered_share")) is not None:
            tags["recovered_share"] = f"{share:.4f}"
        if warnings := "\n".join(train.get("warnings", [])):
            tags["warnings"] = warnings[:5000]
        source = {
            "mlflow.source.name": f"helip run {study.name} train {run.name} {seed}",
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": commit.removesuffix("-dirty"),
            "mlflow.source.git.dirty": str(commit.endswith("-dirty")).lower(),
        }
        return {f"helip.{name}": value for name, value in tags.items()} | source

    def _datasets(self, run: str, seed: str) -> Iterator[DatasetUse]:
        corpus = self.study.run(run).corpus
        manifest = BuildCorpus(self.study, corpus).output
        if manifest.exists():
            content = read_json(manifest)
            yield DatasetUse(corpus, content.get("digest", ""), str(manifest.parent), content.get("size"), "training")
        for path in self.metrics_files(run, seed):
            one, folder = read_json(path), BuildEvaluationSet(self.study, read_json(path)["set"]).folder
            yield DatasetUse(one["set"], one.get("digests", {}).get("images", ""), str(folder), one.get("n"), "evaluation")

    def _artifacts(self, run: str, seed: str) -> dict[str, Path]:
        folder, resolved = model_of(self.study, run, seed).folder, self.study.run(run)
        files = {f"model/{path.name}": path for path in sorted(folder.iterdir()) if path.is_file()}
        files |= {f"metrics/{path.name}": path for path in self.metrics_files(run, seed)}
        if resolved.pairs is not None:
            files["pairs/audit.html"] = pairs_of(self.study, run).folder / "audit.html"
            files["pairs/pairs.json"] = drawn_pairs(self.study, run, seed).output
        files["train.log"] = self.study.root / "logs" / "train" / f"{run}.seed{seed}.log"
        return {name: path for name, path in files.items() if path.exists()}

    # ------------------------------------------------------------ all seeds of a run, and the study

    def seeds(self, run: str, done: Iterable[str]) -> RunContent:
        """Returns the parent of the trainings of one run: mean and standard deviation, gain over the control with its 95 % interval."""
        study, resolved, seeds = self.study, self.study.run(run), list(done)
        begun, ended = self._span((run, seed) for seed in seeds)
        values = {name: rounded(value) for name, value in self._over_seeds(run, seeds).items()}
        over = study.control_of(run)
        tags = {"helip.arm": resolved.arm, "helip.corpus": resolved.corpus, "helip.seeds": f"{len(seeds)} of {len(resolved.seeds)}"}
        tags |= {"helip.control": over} if over else {}
        note = [resolved.question or ARMS[resolved.arm], f"{len(seeds)} of {len(resolved.seeds)} seeds are trained."]
        if f"{GAIN}_low" in values:
            low, high = (f"{values[f'{GAIN}_{end}']:+.2f}" for end in ("low", "high"))
            note.append(f"Gain over {over}: {values[GAIN]:+.2f} points, 95 % interval [{low}, {high}].")
        points = tuple(Point(name, value, 0, ended) for name, value in values.items())
        params = {k: str(v) for k, v in settings(study, resolved).items()}
        return RunContent(key_of(study, run), label(resolved), "seeds", begun, ended, "\n\n".join(note), tags, params, points)

    def _over_seeds(self, run: str, seeds: list[str]) -> dict[str, float]:
        each = [self._of_sets(run, seed) for seed in seeds]
        shared = [name for name in each[0] if all(name in one for one in each)]
        values = {name: statistics.fmean(one[name] for one in each) for name in shared}
        if AVERAGE in values and len(each) > 1:
            values[f"{AVERAGE}_std"] = statistics.stdev(one[AVERAGE] for one in each)
        over = self.study.control_of(run)
        if GAIN in values and over and len(seeds) == len(self.study.run(run).seeds) and self.measured.is_there(over, self.columns):
            values |= self._interval(run, over)
        return values

    def _interval(self, run: str, over: str) -> dict[str, float]:
        """The gain with the ends of its 95 % interval, as the table of the report's question has them; no ends without any spread."""
        difference = self.measured.difference(run, over, self.columns)
        pairs = paired_seeds(self.study.run(run).seeds, self.study.run(over).seeds)
        if difference is None or difference.gain is None or pairs is None or len(set(independent(pairs[0]))) < 2:
            return {}
        low, high = difference.gain.interval(self.measured.noise([(run, over)], self.columns))
        return {GAIN: difference.delta} | ({f"{GAIN}_low": low, f"{GAIN}_high": high} if high > low else {})

    def study_files(self) -> dict[str, Path]:
        """Returns the report, verdicts, tables and figures that are there: path in the run -> file."""
        root = self.study.root
        files = {name: root / name for name in ("report.html", "claims.csv", "claims.md")}
        for place in (root, root / "first"):
            names = sorted(p for p in place.glob("*") if p.name.startswith(("table", "figure")) and p.suffix in (".csv", ".md", ".png"))
            files |= {str(path.relative_to(root)): path for path in names}
        return {name: path for name, path in files.items() if path.is_file()}

    def whole(self, done: list[tuple[str, str]]) -> RunContent:
        """Returns the run of the study itself: its question, its report and its tables. done: the trainings that are there."""
        begun, ended = self._span(done)
        wanted = sum(len(run.seeds) for run in self.study.runs.values())
        tags = {"helip.trainings": f"{len(done)} of {wanted}", "mlflow.source.name": str(self.study.file), "mlflow.source.type": "LOCAL"}
        note = f"{self.study.declaration.question}\n\n{len(done)} of {wanted} trainings are done. The artifacts hold report and tables."
        name = f"report and tables · {self.study.name}"
        return RunContent(key_of(self.study), name, "study", begun, ended, note, tags, artifacts=self.study_files())

    def _span(self, done: Iterable[tuple[str, str]]) -> tuple[int, int]:
        """When the first of these trainings began, and the last ended."""
        times = [interval_of_job(read_json(model_of(self.study, run, seed).folder / "train.json")) for run, seed in done]
        return min(milliseconds(begun) for begun, _ in times), max(milliseconds(ended) for _, ended in times)


def _curve(file: Path, begun: int, ended: int) -> Iterator[Point]:
    """Every number of a training's curve.csv, its steps spread evenly over the time that it took."""
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    last = max((int(float(row["step"])) for row in rows), default=0)
    for row in rows:
        step = int(float(row["step"]))
        at = ended - (ended - begun) * (last - step) // max(last, 1)
        yield from (Point(f"train.{name}", rounded(float(value)), step, at) for name, value in row.items() if name != "step" and value)
