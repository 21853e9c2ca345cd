"""The Snakemake executor: submits what is ready, asks about all of it at once, and tells Snakemake how each job ended."""

import asyncio
import shlex
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from helip.errors import nearest

from . import reasons
from .job import ShellJob
from .ledger import Ledger, parts_of
from .planning import Submission, plan
from .queue import (
    ALIVE,
    NODES_FAULT,
    THE_CLUSTERS_FAULT,
    LocalQueue,
    Result,
    SlurmQueue,
    Verdict,
    attempts_after,
    read_results,
    verdict,
)
from .recovery import Recovery
from .request import SubmissionError, job_name, leaving_out
from .site import SITE, read_site
from .submission import new_folder, paths_of, submit


class Executor(RemoteExecutor):
    """This is the executor as Snakemake calls it; it keeps a Submission with every job (SubmittedJobInfo.aux)."""

    def __post_init__(self) -> None:
        self.settings = settings = self.workflow.executor_settings
        if settings.cluster not in ("slurm", "local"):
            raise WorkflowError(f"submitit-cluster: '{settings.cluster}' is neither 'slurm' nor 'local'")
        if settings.cluster == "slurm" and shutil.which("sbatch") is None:
            raise WorkflowError("there is no sbatch on this machine; run on a login node of the cluster, or use --profile local")
        # profiles/default gives a bare run this machine's cores; jobs that run elsewhere must not be cut to them.
        self.workflow.global_resources["_cores"] = sys.maxsize
        self.site = read_site(settings.site)
        rules = [rule.name for rule in self.workflow.rules]
        for name in self.site.unused(rules):
            self.logger.warning(f"{settings.site or SITE}: rules -> {name}: this workflow has no such rule{nearest(name, rules)}")
        self.logdir = Path(settings.logdir or ".snakemake/submitit").resolve()
        self.logdir.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(self.logdir)
        self.queue = SlurmQueue() if settings.cluster == "slurm" else LocalQueue()
        self.recovery = Recovery(self.ledger, self.queue, self.logger.info)
        self._threads: int | None = None
        self._settled = False
        self._failed_nodes: dict[str, set[str]] = {}  # by the work of the job that they failed
        self._unfinished: dict[str, SubmittedJobInfo] = {}  # by id: Snakemake's own list is empty while its jobs are looked at
        self._last_query = self._last_warning = float("-inf")

    # ------------------------------------------------------------ submitting

    @property
    def cores(self) -> int | str:
        """Returns what the Snakemake inside a job may use: the job's own threads."""
        return self._threads or super().cores

    def get_job_exec_prefix(self, job: JobExecutorInterface) -> str:
        """Returns what hands a job the digests in its params: the Snakemake inside it reads the study anew, which may have changed."""
        digests = [str(digest) for part in parts_of(job) if (digest := part.params.get("digest"))]
        return f"export HELIP_DIGESTS={shlex.quote(' '.join(digests))}" if digests else ""

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submits one job."""
        self.run_jobs([job])

    def run_jobs(self, jobs: Sequence[JobExecutorInterface]) -> None:
        """Submits jobs; those that become ready together and ask for the same go to Slurm as one array."""
        for job in jobs:
            self.run_job_pre(job)
        if not self._settled:
            self._settle()
        batches: dict[str, list[tuple[JobExecutorInterface, Submission]]] = {}
        for job, record in self.recovery.resumed(jobs).items():
            self._threads = max(1, int(job.threads))
            try:
                submission = plan(job, self.format_job_exec(job), str(self.workflow.workdir_init), self.site, self.settings)
            except SubmissionError as error:
                self._fail(SubmittedJobInfo(job), str(error))
                continue
            # what Snakemake itself starts again (--retries)
            submission.parameters = leaving_out(submission.parameters, self._failed_nodes.get(submission.record.work, ()))
            if record is not None:
                submission.record = record
                self._submitted(job, submission)
            else:
                batches.setdefault(submission.alike, []).append((job, submission))
        size = max(1, self.settings.array)
        for batch in batches.values():
            for start in range(0, len(batch), size):
                self._submit(batch[start : start + size])

    def _settle(self) -> None:
        """Snakemake notes how an output was made when it sees the job end; for those it did not see, now."""
        self._settled = True
        done = (job for job in self.dag.jobs if not job.is_local and not self.dag.needrun(job))
        self.recovery.settle(done, lambda job: self.workflow.async_run(self.workflow.persistence.finished(job)))

    def _submit(self, batch: list[tuple[JobExecutorInterface, Submission]]) -> None:
        job, first = batch[0]
        folder, now = new_folder(self.logdir, job_name(job.name)), time.time()
        parameters = first.parameters
        if "job_name" in parameters and len(batch) == 1 and not job.is_group():
            parameters = {**parameters, "job_name": job_name(job.name, *job.wildcards)}
        for place, (_, submission) in enumerate(batch):  # before sbatch: we may be killed right after it
            in_array = place if len(batch) > 1 else None
            submission.record = replace(submission.record, place=in_array, folder=str(folder), submitted=now)
            self.ledger.write(submission.record)
        try:
            ids = self._handed_over(folder, parameters, first.requeues, [s.job for _, s in batch])
        except SubmissionError as error:
            for job, submission in batch:
                self.ledger.forget(submission.record.work)
                self._fail(SubmittedJobInfo(job), str(error))
            return
        for (job, submission), job_id in zip(batch, ids, strict=True):
            submission.record = replace(submission.record, job_id=job_id)
            self.ledger.write(submission.record)
            self.logger.info(f"{job.name}: {self.settings.cluster} job {job_id}, log {paths_of(folder, job_id).stdout}")
            self._submitted(job, submission)

    def _handed_over(self, folder: Path, parameters: dict[str, Any], requeues: int, work: list[ShellJob]) -> list[str]:
        settings = self.settings
        return submit(settings.cluster, folder, parameters, requeues, work, self.logger.warning, settings.patience_s)

    def _submitted(self, job: JobExecutorInterface, submission: Submission) -> None:
        info = SubmittedJobInfo(job, submission.record.job_id, {"submission": submission})
        self._unfinished[submission.record.job_id] = info
        self.report_job_submission(info)

    def _resubmit(self, info: SubmittedJobInfo) -> SubmittedJobInfo | None:
        """The cluster took the job's node or time without requeueing it: the same line once more, from the last saved state."""
        old: Submission = info.aux["submission"]
        folder = new_folder(self.logdir, job_name(info.job.name))
        self.logger.info(f"{info.job.name}: job {info.external_jobid} ended as {old.state}; submitting it again")
        self._remember_nodes(info)
        parameters = leaving_out(old.parameters, self._failed_nodes.get(old.record.work, ()))
        attempts = attempts_after(old.state, old.record.attempts)
        record = replace(old.record, job_id="", place=None, folder=str(folder), attempts=attempts)
        self.ledger.write(record)  # before sbatch, as in _submit
        try:
            (job_id,) = self._handed_over(folder, parameters, old.requeues, [old.job])
        except SubmissionError as error:
            self._forget(info)
            self._fail(info, str(error))
            return None
        record = replace(record, job_id=job_id)
        self.ledger.write(record)
        info.job.register(external_jobid=job_id)
        again = SubmittedJobInfo(info.job, job_id, {"submission": Submission(record, old.job, old.parameters, old.requeues)})
        self._unfinished.pop(info.external_jobid, None)
        self._unfinished[job_id] = again
        return again

    def _remember_nodes(self, info: SubmittedJobInfo) -> None:
        """Notes the nodes of a job that they failed, for its next start."""
        submission = info.aux["submission"]
        if not self.settings.ask_failed_nodes and submission.state in NODES_FAULT:
            self._failed_nodes.setdefault(submission.record.work, set()).update(self.queue.nodes(info.external_jobid))

    # ------------------------------------------------------------ watching

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Yields the jobs that still run and reports the others. Results are looked for each time; Slurm is asked every `poll_s` seconds,
        for all jobs at once.
        """
        await asyncio.sleep(0.2)  # Snakemake may be told to check without a pause
        results = read_results([self._paths(info) for info in active_jobs])
        await self._ask([info for info, result in zip(active_jobs, results, strict=True) if result is None])
        for info, result in zip(active_jobs, results, strict=True):
            submission = info.aux["submission"]
            match self._verdict(info, result):
                case Verdict.RUNNING:
                    yield info
                case Verdict.DONE:
                    self._forget(info)
                    self.report_job_success(info)
                case Verdict.LOST if attempts_after(submission.state, submission.record.attempts) <= submission.requeues + 1:
                    if (again := self._resubmit(info)) is not None:
                        yield again
                case _:
                    self._report_dead(info, result)

    def _verdict(self, info: SubmittedJobInfo, result: Result | None) -> Verdict:
        """What to conclude of a job; of one that left no word and that the queue has forgotten, sacct may know more."""
        submission = info.aux["submission"]
        quiet = 0.0 if submission.dead_since is None else time.monotonic() - submission.dead_since
        concluded = verdict(result, submission.state, quiet, self.queue.settle_s)
        if concluded is Verdict.FAILED and result is None and submission.state is None:
            state = self.queue.final_state(info.external_jobid)
            if state in THE_CLUSTERS_FAULT:
                submission.state, concluded = state, Verdict.LOST
        return concluded

    async def _ask(self, waiting: list[SubmittedJobInfo]) -> None:
        now = time.monotonic()
        suspects = any(info.aux["submission"].dead_since for info in waiting)
        if not waiting or now - self._last_query < (min(5, self.settings.poll_s) if suspects else self.settings.poll_s):
            return
        self._last_query = now
        async with self.status_rate_limiter:
            states = self.queue.states([info.external_jobid for info in waiting])
        if states is None:  # nothing is known: what looked dead before the silence is not dead for it
            for info in waiting:
                info.aux["submission"].dead_since = None
            if now - self._last_warning > 60:
                self._last_warning = now
                self.logger.warning(f"Slurm does not answer; waiting ({self.queue.trouble})")
            return
        for info in waiting:
            submission = info.aux["submission"]
            submission.state = states.get(info.external_jobid)
            submission.dead_since = None if submission.state in ALIVE else submission.dead_since or now

    # ------------------------------------------------------------ ends

    @staticmethod
    def _paths(info: SubmittedJobInfo):
        return paths_of(info.aux["submission"].record.folder, info.external_jobid)

    def _forget(self, info: SubmittedJobInfo) -> None:
        self._unfinished.pop(info.external_jobid or "", None)
        self.ledger.forget(info.aux["submission"].record.work)

    def _report_dead(self, info: SubmittedJobInfo, result: Result | None) -> None:
        self._forget(info)
        self._remember_nodes(info)
        state = info.aux["submission"].state
        if result is None:  # it left no word
            state = self.queue.final_state(info.external_jobid) or state
        log = self._paths(info).stdout
        self._fail(info, reasons.why(info.external_jobid, state, result, log), reasons.tail(info.job.name, log, info.job.log))

    def _fail(self, info: SubmittedJobInfo, message: str, tail: str = "") -> None:
        self.logger.error(f"rule {info.job.name}: {message}{tail}")  # a group's error would drop the message
        self.report_job_error(info, msg=f"{message}. ")

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancels the jobs at Ctrl-C. A controller that is killed, or loses its terminal, leaves its jobs to the next one."""
        every = {info.external_jobid: info for info in (*active_jobs, *self._unfinished.values())}
        if every:
            self.queue.cancel(list(every))
        for info in every.values():
            self._forget(info)

    def shutdown(self) -> None:
        """Ends the watching and gives the folder free for another controller."""
        super().shutdown()
        self.ledger.release()
