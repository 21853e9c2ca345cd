"""Handing work to submitit: one job, or several alike as one Slurm array."""

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from submitit import LocalExecutor, SlurmExecutor
from submitit.core.utils import FailedJobError, JobPaths

from helip.launch import SRUN

from .job import ShellJob
from .request import SubmissionError

PAUSE_S = 5.0
# What sbatch says when Slurm did not answer. After the last it may have taken the job, which then waits a minute for its work and ends:
# submitit hands that over by the job's id, and nobody heard the id.
SILENT = ("Unable to contact slurm controller", "Resource temporarily unavailable", "Socket timed out")
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
NOT_FOR_JOBS = ("SNAKEMAKE_PROFILE", "CUDA_VISIBLE_DEVICES", "HELIP_LEASES", SRUN, *TORCHRUN)


@contextmanager
def environment_for_jobs() -> Iterator[None]:
    """Removes the marks of an allocation or a profile that the controller itself runs in, for as long as the context lasts.

    SLURM_CONF and SBATCH_* stay: they are the user's.
    """
    marks = ("SUBMITIT_", "SLURM_", "SLURMD_")
    ours = [name for name in os.environ if name in NOT_FOR_JOBS or (name.startswith(marks) and name != "SLURM_CONF")]
    removed = {name: os.environ.pop(name) for name in ours}
    try:
        yield
    finally:
        os.environ.update(removed)


def new_folder(logdir: Path, rule: str) -> Path:
    """Returns a folder of its own for each submission: job ids are used again, and their old results must not be found."""
    folder = logdir / rule / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    return folder


def paths_of(folder: Path | str, job_id: str) -> JobPaths:
    """Returns the paths of a job's log and result."""
    return JobPaths(folder, job_id=job_id, task_id=0)


def submit(cluster: str, folder: Path, parameters: dict[str, Any], requeues: int, work: Sequence[ShellJob],
           say: Callable[[str], None], patience_s: float) -> list[str]:  # fmt: skip
    """Submits the work and returns the job ids, 7_0, 7_1 ... for an array; waits for a silent controller, and says so each minute.

    Raises:
        SubmissionError: the scheduler would not take it, with what it said, or was silent for `patience_s` seconds.
    """
    deadline, told = time.monotonic() + patience_s, float("-inf")
    while True:
        try:
            ids = _submitted(cluster, folder, parameters, requeues, work)
            if told > float("-inf"):
                _cancel_unheard(folder, ids)
            return ids
        except FailedJobError as error:
            lines = str(error).strip().splitlines() or ["it gave no reason"]
            if not any(word in str(error) for word in SILENT):
                raise SubmissionError(f"sbatch refused the job: {lines[-1]}") from None
            if time.monotonic() > deadline:
                raise SubmissionError(f"Slurm did not answer for {patience_s:.0f} s (--submitit-patience-s): {lines[-1]}") from None
            if time.monotonic() - told > 60:
                told = time.monotonic()
                say(f"Slurm does not answer; waiting to submit ({lines[-1]})")
            time.sleep(PAUSE_S)
        except (OSError, ValueError, RuntimeError) as error:
            raise SubmissionError(f"the job could not be submitted: {error}") from None


def _cancel_unheard(folder: Path, ids: Sequence[str]) -> None:
    """Cancels the jobs of a submission whose ids nobody heard, since sbatch had timed out: they have no work."""
    known = {one.partition("_")[0] for one in ids}
    command = ["squeue", "--noheader", "--me", "--format=%F|%o"]
    with suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.splitlines()
        jobs = {job: script for job, _, script in (line.strip().partition("|") for line in listed)}
        if unheard := [job for job, script in jobs.items() if Path(script).parent == folder and job not in known]:
            subprocess.run(["scancel", *unheard], capture_output=True, timeout=60, check=False)


def _submitted(cluster: str, folder: Path, parameters: dict[str, Any], requeues: int, work: Sequence[ShellJob]) -> list[str]:
    executor = (SlurmExecutor if cluster == "slurm" else LocalExecutor)(folder, max_num_timeout=requeues)
    executor.update_parameters(**parameters)
    with environment_for_jobs():
        return [job.job_id for job in executor.submit_array(work)]
