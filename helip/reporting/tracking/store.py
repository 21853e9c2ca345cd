"""An MLflow store (a sqlite file) or server: what is known there, and how runs are written into it."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from helip.errors import HelipError
from helip.reporting.tracking.runs import RunContent
from helip.study import Study

BATCH = 1000  # metrics a call: the most MLflow takes
PARAMETERS, TEXT = 100, 5000  # parameters a call, and characters of a tag
SMALL = 5 << 20  # bytes of an artifact that is copied where it cannot be linked, or sent to a server
KEY, CONTENT = "helip.key", "helip.content"
EXPERIMENT = {"mlflow.experimentKind": "custom_model_development", "mlflow.experiment.primaryMetric.name": "gain_over_control"}
QUERY = """
SELECT e.experiment_id, r.run_uuid, k.value, c.value FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id
JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = ? LEFT JOIN tags c ON c.run_uuid = r.run_uuid AND c.key = ?
WHERE e.name = ? AND e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active'
"""
EXPERIMENTS = """
SELECT e.name, e.experiment_id FROM experiments e WHERE e.lifecycle_stage = 'active' AND EXISTS
(SELECT 1 FROM runs r JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = ? WHERE r.experiment_id = e.experiment_id
AND r.lifecycle_stage = 'active') ORDER BY e.name
"""


class Known(dict[str, tuple[str, str]]):
    """The runs that stand in a store: key -> (id, digest of what it shows; empty for one that a job writes live)."""


def reading(store: Path) -> closing[sqlite3.Connection]:
    """Opens a sqlite store for reading alone, in a folder of any name; sqlite3.Error where that cannot be."""
    return closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True))


def known_in_file(store: Path, experiment: str) -> Known:
    """Returns the runs of an experiment in a sqlite store, without importing MLflow; none where the store is absent or not understood."""
    if not store.exists():
        return Known()
    try:
        with reading(store) as connection:
            rows = connection.execute(QUERY, (KEY, CONTENT, experiment)).fetchall()
    except sqlite3.Error:
        return Known()
    return Known({key: (run_id, content or "") for _, run_id, key, content in rows})


def experiments_in_file(store: Path) -> dict[str, str]:
    """Returns study -> id of its experiment in a sqlite store, without importing MLflow; sqlite3.Error where the store cannot be read."""
    with reading(store) as connection:
        return {name: str(experiment) for name, experiment in connection.execute(EXPERIMENTS, (KEY,))}


class Tracked:
    """One study's experiment in a store. uri: sqlite:///FILE or the address of a server. HelipError for a store that cannot be used.

    artifacts: the folder of a local store's artifacts; None for a server, which keeps its own.
    """

    def __init__(self, study: Study, uri: str, artifacts: Path | None):
        from mlflow import MlflowClient

        self.study, self.artifacts = study, artifacts
        with explained(uri):
            self.client = MlflowClient(tracking_uri=uri)
            self.experiment = self._experiment()

    def _experiment(self) -> str:
        place = None if self.artifacts is None else (self.artifacts / self.study.name).resolve().as_uri()
        existing = self.client.get_experiment_by_name(self.study.name)
        if existing is not None and place is not None and existing.artifact_location != place:
            self.client.rename_experiment(existing.experiment_id, f"{self.study.name}, before {existing.experiment_id}")
            self.client.delete_experiment(existing.experiment_id)  # of an earlier layout or a moved folder: MLflow can restore it
            existing = None
        tags = {"mlflow.note.content": self.study.declaration.question, **EXPERIMENT}
        if existing is None:
            return self.client.create_experiment(self.study.name, artifact_location=place, tags=tags)
        for name in (name for name, value in tags.items() if existing.tags.get(name) != value):
            self.client.set_experiment_tag(existing.experiment_id, name, tags[name])
        return existing.experiment_id

    def known(self) -> Known:
        """Returns the runs that stand there."""
        runs, token = Known(), None
        while True:
            page = self.client.search_runs([self.experiment], f"tags.`{KEY}` != ''", max_results=1000, page_token=token)
            runs |= {r.data.tags[KEY]: (r.info.run_id, r.data.tags.get(CONTENT, "")) for r in page}
            if not (token := page.token):
                return runs

    def link(self, key: str, known: Known) -> str:
        """Returns a Markdown link to a run of this experiment; its key alone where it is not there."""
        return f"[{key}](#/experiments/{self.experiment}/runs/{known[key][0]})" if key in known else key

    def write(self, content: RunContent, digest: str, known: Known, parent: str | None = None) -> str:
        """Writes a run in place of the one of its key, and returns its id. It is marked as whole at the end, so that a broken import
        is made again."""
        if content.key in known:
            self.remove(content.key, known)
        tags = {"mlflow.parentRunId": parent} if parent else {}
        made = self.client.create_run(self.experiment, content.begun or None, {**tags, KEY: content.key}, content.name)
        known[content.key] = (made.info.run_id, digest)
        return self.update(content, digest, known)

    def can_update(self, content: RunContent, known: Known) -> bool:
        """Whether a run stands there that `update` can write: MLflow changes no parameter of a run."""
        if content.key not in known:
            return False
        params = self.client.get_run(known[content.key][0]).data.params
        return all(params.get(name, value) == value for name, value in _short(content.params))

    def update(self, content: RunContent, digest: str, known: Known) -> str:
        """Writes the latest numbers and files of a run over the ones before, so that its address and its children stay."""
        run_id = known[content.key][0]
        self._fill(run_id, content, known)
        self._keep_files(run_id, content.artifacts)
        self.client.set_tag(run_id, CONTENT, digest)
        self.client.set_terminated(run_id, end_time=content.ended or None)
        known[content.key] = (run_id, digest)
        return run_id

    def _fill(self, run_id: str, content: RunContent, known: Known) -> None:
        from mlflow.entities import Metric, Param, RunTag

        start = content.tags.get("helip.start", "")
        note = content.note.replace("{start}", self.link(start, known))
        tags = {**content.tags, "helip.kind": content.kind, "mlflow.note.content": note}
        self.client.log_batch(run_id, tags=[RunTag(k, v[:TEXT]) for k, v in tags.items() if v])
        params = [Param(k, v) for k, v in _short(content.params)]
        for first in range(0, len(params), PARAMETERS):
            self.client.log_batch(run_id, params=params[first : first + PARAMETERS])
        points = [Metric(p.name, p.value, p.at, p.step) for p in content.points]
        for first in range(0, len(points), BATCH):
            self.client.log_batch(run_id, metrics=points[first : first + BATCH])
        if content.datasets:
            self.client.log_inputs(run_id, list(_datasets(content)))

    # ------------------------------------------------------------ artifacts

    def _folder(self, run_id: str) -> Path | None:
        return None if self.artifacts is None else self.artifacts / self.study.name / run_id

    def _keep_files(self, run_id: str, files: dict[str, Path]) -> None:
        folder = self._folder(run_id)
        for name, path in files.items():
            if folder is not None:
                link_file(path, folder / "artifacts" / name)
            elif path.stat().st_size <= SMALL:
                self.client.log_artifact(run_id, str(path), name.rpartition("/")[0] or None)

    def remove(self, key: str, known: Known) -> None:
        """Removes a run and its files; MLflow can restore the run."""
        run_id, _ = known.pop(key)
        self.client.delete_run(run_id)
        if (folder := self._folder(run_id)) is not None:
            shutil.rmtree(folder, ignore_errors=True)


def link_file(path: Path, place: Path) -> None:
    """Makes `place` a hard link to a file, which costs no room; a copy of a small file on another file system, and nothing of a large one.

    A symbolic link would not do: MLflow serves none that leads out of a run's own folder.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        os.link(path, place)
    except OSError:
        if path.stat().st_size <= SMALL:
            shutil.copyfile(path, place)


def _short(params: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, value[:TEXT]) for name, value in params.items()]


def _datasets(content: RunContent) -> Iterator[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    for used in content.datasets:
        profile = json.dumps({"num_rows": used.size}) if used.size is not None else None
        # MLflow takes a digest of at most 36 characters.
        dataset = Dataset(used.name, used.digest[:36] or "unknown", "local", json.dumps({"uri": used.source}), profile=profile)
        yield DatasetInput(dataset, [InputTag("mlflow.data.context", used.context)])


def digest_of(files: list[Path], *more: str) -> str:
    """Returns the digest of files' names and bytes, and of further words."""
    whole = hashlib.sha256("\0".join(more).encode())
    for path in files:
        whole.update(f"\0{path.name}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raises HelipError in place of what MLflow and its libraries say of a store of another version, or of one that cannot be opened."""
    try:
        yield
    except HelipError:
        raise
    except Exception as error:  # sqlalchemy's, alembic's, requests' and MLflow's own
        text = " ".join(str(error).split())
        if "out-of-date database schema" in text:
            copy = f"cp {uri.removeprefix('sqlite:///')} {uri.removeprefix('sqlite:///')}.old && " if uri.startswith("sqlite:///") else ""
            remedy = f"upgrade it with `{copy}.venv/bin/mlflow db upgrade {uri}`"
            raise HelipError(f"{uri}: was written by another version of MLflow; {remedy}, or remove it and import again") from None
        if "Can't locate revision" in text:
            raise HelipError(
                f"{uri}: was written by a newer version of MLflow than the pinned one; name another file with --store"
            ) from None
        raise HelipError(f"{uri}: cannot be used ({text[:300]})") from None
