"""The run of MLflow that shows one training, from the files that its jobs wrote."""

import csv
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from helip.config import Column
from helip.io import read_json
from helip.reporting.measured import Measured
from helip.reporting.provenance import interval_of_job
from helip.reporting.tracking.runs import (
    ARMS,
    DatasetUse,
    Point,
    RunContent,
    deciding,
    flat,
    key_of,
    label,
    marked,
    milliseconds,
    rounded,
    settings,
)
from helip.stages import BuildCorpus, BuildEvaluationSet, drawn_pairs, metrics_file, model_of, pairs_of, selection_of
from helip.study import Study, seed_number, start_seed
from helip.study.resolve import ResolvedRun

OUTDATED = "{} with other settings than {} declares now."
AVERAGE, GAIN, OVER_START = "average_zeroshot", "gain_over_control", "gain_over_start"
# Of each set, and how it ends the name; other metrics stand in the metrics files, which are artifacts. MLflow shows metrics by the alphabet
# and those with a slash in their names above all others: "on" and "train" come after the summary, and no name has a slash.
MAIN = {"acc1": "", "image_recall_at_1": ".text_to_image", "text_recall_at_1": ".image_to_text"}


class Trainings:
    """Makes the runs of single trainings. `done` says which trainings are there; metrics files are read when they are shown."""

    def __init__(self, study: Study):
        self.study = study
        self.measured = Measured(study, [study.report.question.table])

    @cached_property
    def columns(self) -> list[Column]:
        """The columns of `average_zeroshot` and `gain_over_control`: those that the table of the report's question averages."""
        table = self.study.tables[self.study.report.question.table]
        return self.measured.columns(table.averaged or table.columns)

    @cached_property
    def is_whole(self) -> bool:
        """Whether every row of that table, and what it is measured against, was evaluated: all of them tell the noise of intervals."""
        shown = {run for _, _, run, _, _ in self.study.table_rows(self.study.report.question.table)}
        over = {control for run in shown if (control := self.study.control_of(run))}
        return all(self.measured.is_there(run, self.columns) for run in sorted(shown | over))

    def gain(self, run: str) -> str:
        """Returns what the gain of a run is called: a control, and what has none, is measured against its start."""
        return OVER_START if self.study.control_of(run) == self.study.run(run).start else GAIN

    def done(self) -> list[tuple[str, str]]:
        """Returns (run, seed) of every training that is done, starts before what is refined from them."""
        runs = sorted(self.study.runs.values(), key=lambda run: run.start is not None)
        return [(r.name, s) for r in runs for s in r.seeds if (model_of(self.study, r.name, s).folder / "train.json").exists()]

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

    def training(self, run: str, seed: str) -> RunContent:
        """Returns the run of one training."""
        study, resolved, folder = self.study, self.study.run(run), model_of(self.study, run, seed).folder
        train = read_json(folder / "train.json")
        begun, ended = map(milliseconds, interval_of_job(train))
        curve = tuple(_curve(folder / "curve.csv", begun, ended))
        sets = [Point(name, rounded(value), 0, ended) for name, value in self.numbers(run, seed).items()]
        outdated = self.is_outdated(run, seed)
        declared = flat(train["declaration"]) if run in study.declaration.published or resolved.interpolate else ()
        shares = {} if outdated else {name: rounded(share) for name, share in self._shares(run, seed).items()}
        params = self.settings(run, seed) | dict(declared) | {"seed": seed_number(seed)} | shares
        return RunContent(
            key_of(study, run, seed), marked(f"s{seed} {label(resolved)}", outdated), "training", begun, ended,
            self._note(resolved, train, outdated), self._tags(resolved, seed, train, outdated), {k: str(v) for k, v in params.items()},
            (*sets, *curve), tuple(self._datasets(run, seed, outdated)), self._artifacts(run, seed, outdated),
        )  # fmt: skip

    def is_outdated(self, run: str, seed: str) -> bool:
        """Whether a training was made with other settings than the study declares now."""
        return model_of(self.study, run, seed).is_outdated

    def settings(self, run: str, seed: str) -> dict[str, Any]:
        """Returns what a training is, resolved; of other settings than are declared now, only what its train.json keeps: its recipe."""
        if not self.is_outdated(run, seed):
            return settings(self.study, self.study.run(run))
        return deciding(dict(flat(read_json(model_of(self.study, run, seed).folder / "train.json")["declaration"])))

    def numbers(self, run: str, seed: str) -> dict[str, float]:
        """Returns the summary of a training, then its main metrics by set; the metrics files that are there."""
        values: dict[str, float] = {}
        if self._has_summary(run, seed):
            average, over = self._average(run, seed), self._control(run, seed)
            if over and self._has_summary(*over):
                values[self.gain(run)] = average - self._average(*over)
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

    def _note(self, run: ResolvedRun, train: dict[str, Any], outdated: bool) -> str:
        """What MLflow shows as the description, in Markdown; {start} is filled in by the store with a link to the start's run."""
        parts = [run.question or ARMS[run.arm], *([OUTDATED.format("It was trained", self.study.file)] if outdated else [])]
        if run.start is not None and not outdated:
            parts.append("Started from {start}.")
        if warnings := "\n".join(train.get("warnings", [])):
            parts.append(f"Warnings:\n\n{warnings[:5000]}")
        return "\n\n".join(parts)

    def _tags(self, run: ResolvedRun, seed: str, train: dict[str, Any], outdated: bool) -> dict[str, str]:
        commit, study = str(train.get("commit") or ""), self.study
        tags = {"arm": run.arm, "folder": str(model_of(study, run.name, seed).folder)}
        tags |= {name: str(train.get(name, "")) for name in ("host", "machine", "digest")}
        tags |= {"settings": "other than are declared now"} if outdated else self._declared(run, seed)
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

    def _declared(self, run: ResolvedRun, seed: str) -> dict[str, str]:
        """The tags of what the study declares of a training."""
        tags = {"corpus": run.corpus, "model": run.model}
        if run.start:
            tags["start"] = key_of(self.study, run.start, start_seed(seed))
        if run.pairs is not None:
            tags["pairs"] = self.study.pairs_name(run)
        if run.select is not None:
            tags["selection"] = self.study.selection_name(run.name)
        return tags

    def _datasets(self, run: str, seed: str, outdated: bool) -> Iterator[DatasetUse]:
        corpus = self.study.run(run).corpus
        manifest = BuildCorpus(self.study, corpus).output
        if manifest.exists() and not outdated:
            content = read_json(manifest)
            yield DatasetUse(corpus, content.get("digest", ""), str(manifest.parent), content.get("size"), "training")
        for path in self.metrics_files(run, seed):
            one, folder = read_json(path), BuildEvaluationSet(self.study, read_json(path)["set"]).folder
            yield DatasetUse(one["set"], one.get("digests", {}).get("images", ""), str(folder), one.get("n"), "evaluation")

    def _artifacts(self, run: str, seed: str, outdated: bool) -> dict[str, Path]:
        folder, resolved = model_of(self.study, run, seed).folder, self.study.run(run)
        files = {f"model/{path.name}": path for path in sorted(folder.iterdir()) if path.is_file()}
        files |= {f"metrics/{path.name}": path for path in self.metrics_files(run, seed)}
        if resolved.pairs is not None and not outdated:
            files["pairs/audit.html"] = pairs_of(self.study, run).folder / "audit.html"
            files["pairs/pairs.json"] = drawn_pairs(self.study, run, seed).output
        files["train.log"] = self.study.root / "logs" / "train" / f"{run}.seed{seed}.log"
        return {name: path for name, path in files.items() if path.exists()}


def _curve(file: Path, begun: int, ended: int) -> Iterator[Point]:
    """Every number of a training's curve.csv, its steps spread evenly over the time that it took."""
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    last = max((int(float(row["step"])) for row in rows), default=0)
    for row in rows:
        step = int(float(row["step"]))
        at = ended - (ended - begun) * (last - step) // max(last, 1)
        yield from (Point(f"train.{name}", rounded(float(value)), step, at) for name, value in row.items() if name != "step" and value)
