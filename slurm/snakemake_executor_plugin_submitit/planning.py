"""From a Snakemake job to what will be submitted for it."""

from dataclasses import dataclass
from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from helip.gpus import gpu_ids

from .job import ShellJob
from .ledger import Record, blank_record, parts_of
from .request import job_name, local_parameters, slurm_parameters, whole, wish_for
from .settings import ExecutorSettings
from .site import Site


@dataclass
class Submission:
    """This is what the plugin remembers of a job (SubmittedJobInfo.aux); its record is blank until it is submitted."""

    record: Record
    job: ShellJob
    parameters: dict[str, Any]  # of the submitit executor
    requeues: int
    state: str | None = None  # when last asked
    dead_since: float | None = None  # by the monotonic clock

    @property
    def alike(self) -> str:
        """Returns a text that is equal for jobs that may go into one array."""
        return repr((sorted(self.parameters.items(), key=str), self.requeues))


def rules_of(job: JobExecutorInterface) -> list[str]:
    """Returns the names of the job's rules, several in a group."""
    return sorted({part.rule.name for part in parts_of(job)})


def plan(job: JobExecutorInterface, command: str, cwd: str, site: Site, settings: ExecutorSettings) -> Submission:
    """Returns what will be submitted for a job; SubmissionError where resources and site do not fit together."""
    wish = wish_for(rules_of(job), job.resources, site)
    threads, gpus = max(1, int(job.threads)), whole(job.resources, "gpu") or 0
    warning = min(settings.warning_s, (wish.runtime or 60) * 30)  # a job of two minutes is not warned at its start
    grace = max(warning / 2, warning - 30)  # what a training has to save in, before it is requeued
    if settings.cluster == "slurm":
        parameters = slurm_parameters(job_name(job.name), threads, gpus, wish, warning)
    else:
        parameters = local_parameters(wish, warning)
    offered = gpu_ids() if settings.cluster == "local" else None
    shell = ShellJob(command, cwd, grace, gpus, offered, [str(log) for part in parts_of(job) for log in part.log], warning)
    requeues = settings.requeues if wish.requeues is None else wish.requeues
    return Submission(blank_record(job), shell, parameters, requeues)
