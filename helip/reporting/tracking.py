"""Copy finished trainings and their metrics files into an MLflow sqlite store: idempotent, and one process at a time.

Jobs never open the store (many writers break a new one); this local step reads what they wrote. A run is known by its key
(study/run/seed) and replaced when the digest of its files has changed.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas

from helip.io import read_json
from helip.stages import model_of
from helip.study import Study, start_seed

BATCH = 1000  # metrics a call: the most MLflow takes


def import_study(study: Study, store: Path) -> dict[str, int]:
    """Imports every finished training of a study; returns how many were imported and how many were there already."""
    from mlflow import MlflowClient

    store.parent.mkdir(parents=True, exist_ok=True)
    counts = {"imported": 0, "unchanged": 0}
    with open(store.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = MlflowClient(tracking_uri=f"sqlite:///{store.resolve()}")
        experiment = client.get_experiment_by_name(study.name)
        identity = experiment.experiment_id if experiment else client.create_experiment(study.name)
        for run, seed in finished(study):
            counts["imported" if _import_run(client, identity, study, run, seed) else "unchanged"] += 1
    return counts


def finished(study: Study) -> Iterator[tuple[str, str]]:
    """Yields (run, seed) of every training that is done."""
    for run in study.runs.values():
        for seed in run.seeds:
            if (model_of(study, run.name, seed).folder / "train.json").exists():
                yield run.name, seed


def _import_run(client, experiment: str, study: Study, run: str, seed: str) -> bool:
    files = [model_of(study, run, seed).folder / "train.json", model_of(study, run, seed).folder / "curve.csv"]
    files += sorted((study.root / "metrics" / run / f"seed{seed}").glob("*.json"))
    content = hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()
    key = f"{study.name}/{run}/seed{seed}"
    for known in client.search_runs([experiment], f"tags.`helip.key` = '{key}'"):
        if known.data.tags.get("helip.content") == content and known.info.status == "FINISHED":
            return False
        client.delete_run(known.info.run_id)
    made = client.create_run(experiment, run_name=f"{run} seed{seed}", tags=_tags(study, run, seed, key, content))
    _log(client, made.info.run_id, read_json(files[0]), files[1], files[2:])
    client.set_terminated(made.info.run_id)
    return True


def _tags(study: Study, run: str, seed: str, key: str, content: str) -> dict[str, str]:
    bound = study.run(run)
    lineage = {"corpus": bound.corpus, "model": bound.model, "arm": bound.arm}
    if bound.start:
        lineage["start"] = f"{study.name}/{bound.start}/seed{start_seed(seed)}"
    if bound.pairs:
        lineage["pairs"] = study.pairs_name(bound)
    return {"helip.key": key, "helip.content": content, **{f"helip.{k}": v for k, v in lineage.items()}}


def _log(client, run_id: str, train: dict[str, Any], curve: Path, metrics: list[Path]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    params = [Param(k, str(v)[:6000]) for k, v in _flat(train["declaration"])]
    tags = [RunTag(f"helip.{k}", str(train.get(k, ""))) for k in ("commit", "host", "written", "digest")]
    if (share := train.get("recovered_share")) is not None:
        tags.append(RunTag("helip.recovered_share", f"{share:.4f}"))
    if warnings := "\n".join(train.get("warnings", [])):  # as MLflow's description of the run, which its page shows first
        tags += [RunTag("helip.warnings", warnings[:5000]), RunTag("mlflow.note.content", f"Warnings\n\n{warnings[:5000]}")]
    client.log_batch(run_id, params=params[:100], tags=tags)
    points = [Metric(f"train.{name}", value, 0, step) for name, step, value in _curve(curve)]
    for path in metrics:
        one = read_json(path)
        points += [Metric(f"{one['set']}.{one['task']}.{k}", float(v), 0, 0) for k, v in one["metrics"].items()]
    for first in range(0, len(points), BATCH):
        client.log_batch(run_id, metrics=points[first : first + BATCH])


def _curve(file: Path) -> Iterator[tuple[str, int, float]]:
    """(name, step, value) of every number in a training's curve.csv."""
    curve = pandas.read_csv(file)
    for name in curve.columns.drop("step"):
        for step, value in curve[["step", name]].dropna().itertuples(index=False):
            yield name, int(step), float(value)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value
