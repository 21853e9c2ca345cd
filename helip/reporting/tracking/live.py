"""The curve of a training, sent to a tracking server while it runs. A server that is slow, down or gone costs the training nothing.

Rows go into a queue that drops what it cannot hold; one thread sends them and ends at the first error. The local import (importing.py)
later writes the whole run in place of the live one.
"""

import atexit
import contextlib
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from helip.reporting.tracking.importing import server
from helip.reporting.tracking.runs import key_of, label, rounded, settings
from helip.reporting.tracking.store import KEY
from helip.study import Study

EVERY = 5.0  # seconds between two messages to the server
ROOM = 10_000  # rows that wait
FAREWELL = 10.0  # seconds that the end of a training waits for its last rows

log = logging.getLogger(__name__)


class LiveRun:
    """One training at a server. Calling it with a row of the curve returns at once and never raises."""

    def __init__(self, study: Study, run: str, seed: str, digest: str, connect: Callable[[], Any]):
        self.study, self.run, self.seed, self.digest, self.connect = study, run, seed, digest, connect
        self._rows: queue.Queue[tuple[int, dict[str, float]] | None] = queue.Queue(ROOM)
        self._thread = threading.Thread(target=self._work, name="live tracking", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __call__(self, row: dict[str, float]) -> None:
        """Takes a row of the curve: its step and its numbers."""
        if self._thread.is_alive() and not self._rows.full():
            self._rows.put_nowait((int(time.time() * 1000), dict(row)))

    def close(self) -> None:
        """Sends what waits, for some seconds at most."""
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._rows.put(None, timeout=FAREWELL)
            self._thread.join(FAREWELL)

    def _work(self) -> None:
        try:
            client = self.connect()
            run_id = self._open(client)
            while (rows := self._next()) is not None:
                self._send(client, run_id, rows)
        except Exception as error:  # whatever a server or its library does is no matter of the training
            log.warning("%s: no live tracking (%s); `helip track %s` imports the run later", self.run, error, self.study.name)

    def _next(self) -> list[tuple[int, dict[str, float]]] | None:
        """The rows of some seconds; None at the end."""
        rows: list[tuple[int, dict[str, float]]] = []
        until = time.monotonic() + EVERY
        while True:
            try:
                row = self._rows.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                return rows
            if row is None:
                self._rows.put(None) if rows else None
                return rows or None
            rows.append(row)

    def _open(self, client: Any) -> str:
        """The run of this training: the one that an earlier start of the job began, or a new one."""
        study, resolved, key = self.study, self.study.run(self.run), key_of(self.study, self.run, self.seed)
        experiment = client.get_experiment_by_name(study.name)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(study.name)
        for known in client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'"):
            if known.data.tags.get("helip.digest") == self.digest and known.info.status == "RUNNING":
                return known.info.run_id
            client.delete_run(known.info.run_id)
        tags = {KEY: key, "helip.kind": "training", "helip.digest": self.digest, "mlflow.note.content": resolved.question}
        made = client.create_run(experiment_id, run_name=f"s{self.seed} {label(resolved)}", tags=tags)
        for name, value in settings(study, resolved).items():
            client.log_param(made.info.run_id, name, str(value)[:5000])
        return made.info.run_id

    def _send(self, client: Any, run_id: str, rows: list[tuple[int, dict[str, float]]]) -> None:
        from mlflow.entities import Metric

        points = [
            Metric(f"train.{name}", rounded(value), at, int(row["step"]))
            for at, row in rows
            for name, value in row.items()
            if name != "step"
        ]
        for first in range(0, len(points), 1000):
            client.log_batch(run_id, metrics=points[first : first + 1000])


def connect(uri: str) -> Any:
    """Returns a client of a server that answers; raises OSError in seconds where none listens."""
    address = urlsplit(uri)
    socket.create_connection((address.hostname or "", address.port or (443 if address.scheme == "https" else 80)), timeout=5).close()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def follower(study: Study, run: str, seed: str, digest: str) -> LiveRun | None:
    """Returns what a training tells its rows to; None where $MLFLOW_TRACKING_URI names no server."""
    uri = server()
    return LiveRun(study, run, seed, digest, lambda: connect(uri)) if uri else None
