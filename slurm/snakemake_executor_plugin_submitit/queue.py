"""What is known of submitted jobs: one query for all of them, and what a state means. Needs no accounting database.

squeue is asked, not sacct: it always exists, knows what runs now without a delay, and remembers ended jobs for a while (MinJobAge).
A job that it no longer knows has ended; whether well is said by the job's result file. sacct, where it works, is asked about a dead
job: for the reason, and whether to submit it again.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from submitit.core.utils import JobPaths, pickle_load

ALIVE = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
ALIVE |= {"REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
THE_CLUSTERS_FAULT = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "TIMEOUT"}  # the work goes on if it is submitted again


NODES_FAULT = {"NODE_FAIL", "BOOT_FAIL"}


def attempts_after(state: str | None, attempts: int) -> int:
    """Returns how many starts count once a job was lost in that state: a preemption never does."""
    return attempts + (state != "PREEMPTED")


class Verdict(Enum):
    """This is what the executor concludes of a job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"  # submit it again


@dataclass
class Result:
    """This is what the job itself left: its error, or None when it ended well."""

    error: str | None


def read_result(paths: JobPaths) -> Result | None:
    """Returns the result file of one job, if it is there."""
    return read_results([paths])[0]


def read_results(jobs: Sequence[JobPaths]) -> list[Result | None]:
    """Returns the result files of jobs, those that are there. Each folder is listed once, however many jobs are in it: NFS looks again
    then.
    """
    present = {folder: _names(folder) for folder in {paths.folder for paths in jobs}}
    return [_load(paths.result_pickle) if paths.result_pickle.name in present[paths.folder] else None for paths in jobs]


def _names(folder: Path) -> set[str]:
    with suppress(OSError):
        return set(os.listdir(folder))
    return set()


def _load(file: Path) -> Result | None:
    """submitit writes it elsewhere and renames it; written by a job of our own, it may be unpickled."""
    with suppress(OSError):
        outcome, value = pickle_load(file)
        return Result(None if outcome == "success" else str(value))
    return None


def verdict(result: Result | None, state: str | None, quiet_s: float, settle_s: float) -> Verdict:
    """Returns the verdict on a job from its result, its state in the queue (None: not there or not asked) and for how long it has looked
    dead.
    """
    if result is not None:
        return Verdict.DONE if result.error is None else Verdict.FAILED
    if state in ALIVE or quiet_s < settle_s:
        return Verdict.RUNNING
    return Verdict.LOST if state in THE_CLUSTERS_FAULT else Verdict.FAILED


def _ask(command: Sequence[str], timeout_s: float = 60) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


class SlurmQueue:
    """This asks Slurm's squeue, and sacct for a dead job's reason."""

    settle_s = 15.0  # a requeued job looks dead for a moment, and a result file may reach us late over NFS

    def __init__(self) -> None:
        self.trouble = ""  # what the last query complained of

    def states(self, ids: Sequence[str]) -> dict[str, str] | None:
        """Returns the state of each job that Slurm knows, in one query; None when Slurm did not answer: then nothing is known."""
        answer = _ask(["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--jobs={','.join(ids)}"])
        self.trouble = answer.stderr.strip()
        if answer.returncode and "Invalid job id" not in answer.stderr:  # said when it is asked about one job that is long over
            return None
        return dict(line.strip().split("|", 1) for line in answer.stdout.splitlines() if "|" in line)

    def final_state(self, job_id: str) -> str:
        """Returns the last state of a dead job, from sacct where there is one: OUT_OF_MEMORY, NODE_FAIL, CANCELLED by 1000..."""
        if shutil.which("sacct"):
            lines = _ask(["sacct", "--noheader", "--allocations", "--parsable2", "--format=State", f"--jobs={job_id}"]).stdout.split("\n")
            if lines[0].strip():
                return lines[0].strip()
        return ""

    def nodes(self, job_id: str) -> set[str]:
        """Returns the nodes that a job had; none where Slurm has forgotten it."""
        listed = _ask(["squeue", "--noheader", "--states=all", "--format=%N", f"--jobs={job_id}"]).stdout.split()
        names = {name for one in listed if one != "(null)" for name in _ask(["scontrol", "show", "hostnames", one]).stdout.split()}
        return names

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancels the jobs."""
        _ask(["scancel", *ids])


class LocalQueue:
    """This is the queue of submitit's local executor: a job is a process of this machine, named by its id."""

    settle_s = 1.0
    trouble = ""

    def states(self, ids: Sequence[str]) -> dict[str, str] | None:
        """Returns RUNNING for each job whose process is alive."""
        for one in ids:
            with suppress(ChildProcessError, ValueError):
                os.waitpid(int(one), os.WNOHANG)  # else an ended child of ours stays as a zombie
        return {one: "RUNNING" for one in ids if self._alive(one)}

    @staticmethod
    def _alive(job_id: str) -> bool:
        try:
            return b"submitit.local._local" in Path(f"/proc/{job_id}/cmdline").read_bytes()  # ids are used again: is it still ours?
        except OSError:
            return False

    def final_state(self, job_id: str) -> str:
        """Returns an empty text: nothing remembers a dead process."""
        return ""

    def nodes(self, job_id: str) -> set[str]:
        """Returns no node: all jobs are on this one."""
        return set()

    def cancel(self, ids: Sequence[str]) -> None:
        """Interrupts the jobs' processes; submitit's controllers then end their tasks."""
        for one in ids:
            if self._alive(one):
                with suppress(ProcessLookupError):
                    os.kill(int(one), 2)  # SIGINT: submitit's controller then ends its tasks
