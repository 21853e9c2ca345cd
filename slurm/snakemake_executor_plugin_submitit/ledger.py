"""Which submitted job does which work, on disk: a controller that was killed is followed by one that takes its jobs up.

A piece of work is known by a digest of all that Snakemake would run for it, so that a job of older settings is never mistaken for it.
"""

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError


@dataclass
class Record:
    job_id: str
    folder: str  # of its log and result
    submitted: float  # seconds since the epoch
    work: str = ""
    attempts: int = 1


def work_digest(job: Any) -> str:
    """Stands for what a job (or group of jobs) would run: rules, outputs, inputs, parameters, command."""
    parts = sorted(job.jobs, key=str) if job.is_group() else [job]
    said = [_said(part) for part in parts]
    return hashlib.sha256(json.dumps(sorted(said)).encode()).hexdigest()[:24]


def _said(job: Any) -> list[Any]:
    names = [sorted(map(str, job.output)), [*map(str, job.input)]]
    return [job.rule.name, *names, [*map(repr, job.params)], repr([*job.params.items()]), job.shellcmd or ""]


class Ledger:
    """One small file per submitted job under `folder`/jobs; a lock that dies with the process, for one controller at a time."""

    def __init__(self, folder: Path):
        self.folder = folder / "jobs"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(folder / "controller.lock", "a+")  # noqa: SIM115  held until release()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            who = self._lock.read().strip()
            self._lock.close()
            raise WorkflowError(
                f"another snakemake submits jobs for this folder ({who}); wait for it or end it, then start again"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}")
        self._lock.flush()

    def release(self) -> None:
        self._lock.close()

    def write(self, record: Record) -> None:
        path = self.folder / f"{record.work}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(record)))
        temporary.replace(path)

    def read(self, work: str) -> Record | None:
        try:
            return Record(**json.loads((self.folder / f"{work}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def forget(self, work: str) -> None:
        (self.folder / f"{work}.json").unlink(missing_ok=True)


def newer_than(paths: Iterable[str], moment: float) -> list[str]:
    """Those of the files that changed after the moment (a second's grace for coarse clocks)."""
    return [p for p in map(str, paths) if os.path.exists(p) and os.path.getmtime(p) > moment + 1]
