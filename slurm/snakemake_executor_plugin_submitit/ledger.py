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
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError


@dataclass
class Record:
    """This is a job that is being submitted (no id yet) or was."""

    work: str  # see work_digest
    parts: list[str]  # the same of each job of a group
    outputs: list[str]
    job_id: str = ""
    place: int | None = None  # in its array
    folder: str = ""  # of its log and result
    submitted: float = 0.0  # seconds since the epoch
    attempts: int = 1


def parts_of(job: Any) -> list[Any]:
    """Returns the jobs of a group, or the job itself."""
    return list(job.jobs) if job.is_group() else [job]


def made_from(job: Any) -> list[Any]:
    """Returns the inputs that a job, or group, is made from: not those that only come first, which are `ancient`, or `order_only` as make
    has it (`flag(path, "order_only")`). They may be made again while the job runs.
    """
    return [path for path in job.input if not any(getattr(path, "flags", {}).get(name) for name in ("ancient", "order_only"))]


def part_digest(job: Any) -> str:
    """Returns a digest of what one job would run: rule, outputs, inputs that it is made from, parameters, command."""
    names = [sorted(map(str, job.output)), [*map(str, made_from(job))]]
    return _digest([job.rule.name, *names, [*map(repr, job.params)], repr([*job.params.items()]), job.shellcmd or ""])


def blank_record(job: Any) -> Record:
    """Returns the record of a job, or group of jobs, before it is submitted."""
    parts = sorted(part_digest(part) for part in parts_of(job))
    return Record(_digest(parts), parts, sorted(str(f) for part in parts_of(job) for f in part.output))


def identified(record: Record) -> Record:
    """Returns the record with the id that sbatch gave, where the controller was killed before it could note it: submitit names the
    submission file by it.
    """
    script = next(Path(record.folder).glob("*_submission.sh"), None) if record.folder and not record.job_id else None
    if script is None:
        return record
    main = script.name.removesuffix("_submission.sh")
    return replace(record, job_id=main if record.place is None else f"{main}_{record.place}")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


class Ledger:
    """This keeps one small file per submitted job under `folder`/jobs, and a lock that dies with the process, for one controller at a time.

    WorkflowError where another controller holds the lock.
    """

    def __init__(self, folder: Path):
        self.folder = folder / "jobs"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(folder / "controller.lock", "a+")  # noqa: SIM115  held until release()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = self._holder()
            self._lock.close()
            raise WorkflowError(f"{who}; wait for it or end it, then start again") from None
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}")
        self._lock.flush()

    def _holder(self) -> str:
        """Who holds the lock: a controller alone, or others together, as the Snakefile does for a snakemake that submits no jobs."""
        with suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return "another snakemake runs jobs in this folder, on its own machine"
        self._lock.seek(0)
        return f"another snakemake submits jobs for this folder ({self._lock.read().strip()})"

    def release(self) -> None:
        """Gives the lock back."""
        self._lock.close()

    def write(self, record: Record) -> None:
        """Writes the record's file, whole or not at all."""
        path = self.folder / f"{record.work}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(record)))
        temporary.replace(path)

    def records(self) -> list[Record]:
        """Returns what earlier controllers left: jobs that they submitted and never saw end."""
        records = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(OSError, ValueError, TypeError):
                records.append(identified(Record(**json.loads(path.read_text()))))
        return [record for record in records if record.job_id]

    def forget(self, work: str) -> None:
        """Removes the record of that work, if there is one."""
        (self.folder / f"{work}.json").unlink(missing_ok=True)


def newer_than(paths: Iterable[str], moment: float) -> list[str]:
    """Returns those of the files that changed after the moment (a second's grace for coarse clocks)."""
    return [p for p in map(str, paths) if os.path.exists(p) and os.path.getmtime(p) > moment + 1]
