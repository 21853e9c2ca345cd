"""What one run of MLflow holds, and the names by which runs are known and shown. Nothing here knows MLflow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from helip.config import ConfigModel
from helip.study import Study
from helip.study.resolve import ResolvedRun

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
    """Returns what a run is, resolved: corpus, model, arm, recipe, mining and selection. What its digest leaves out, it leaves out too."""
    parts: dict[str, Any] = {"corpus": run.corpus, "model": run.model, "arm": run.arm}
    parts |= dict(flat(run.recipe.model_dump(mode="json")))
    if run.pairs is not None:
        parts |= {f"mining.{k}": v for k, v in flat(run.pairs.model_dump(mode="json"))}
    if run.select is not None:
        parts |= {f"selection.{k}": v for k, v in flat(run.select.model_dump(mode="json"))}
    if run.interpolate is not None:
        parts["interpolate.weight"] = run.interpolate.weight
    return deciding(parts)


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings that a digest stands for: those that are set and decide the result."""
    return {k: v for k, v in settings.items() if v is not None and not ConfigModel.excluded_from_digest & {*k.split(".")}}


def marked(name: str, outdated: bool) -> str:
    """Returns the name of a run, which says where its model is of other settings than the study declares now."""
    return f"{name}, of other settings" if outdated else name


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of every leaf of nested mappings."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value
