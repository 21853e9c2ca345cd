"""After a controller was killed: which of its jobs the next one takes up, and which it must end first."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from .ledger import Ledger, Record, newer_than, work_digest
from .queue import ALIVE, LocalQueue, SlurmQueue, read_result
from .submission import paths_of


Marks = Callable[[JobExecutorInterface], Iterable[str]]


class Succession:
    def __init__(
        self, ledger: Ledger, queue: SlurmQueue | LocalQueue, marks: Callable[[JobExecutorInterface], Iterable[str]], log: Callable
    ):
        """`marks` gives the ids that Snakemake noted at the outputs of a job which it never saw end."""
        self.ledger, self.queue, self.marks, self.log = ledger, queue, marks, log
        self.over: set[str] = set()  # jobs whose end this controller saw: marks of these mean nothing

    def heirs(self, jobs: Sequence[JobExecutorInterface]) -> dict[JobExecutorInterface, Record | None]:
        """For each job the record of a submitted one that does the same work, or None: submit it. One query for all."""
        records = {job: self.ledger.read(work_digest(job)) for job in jobs}
        known = {job: self._known(job, record) for job, record in records.items()}
        asked = sorted(set().union(*known.values()))
        states = self.queue.states(asked) if asked else {}
        if states is None:  # Slurm does not answer: believe the records; the first answer will tell
            states = dict.fromkeys(asked, "PENDING")
        for job, record in records.items():
            if record is not None and not self._still_good(job, record, states.get(record.job_id)):
                records[job] = record = None
            self._end(job, [i for i in known[job] if states.get(i) in ALIVE and not (record and i == record.job_id)])
            if record is not None:
                state = states.get(record.job_id, "ended")
                self.log(f"{job.name}: job {record.job_id} of an earlier snakemake does this ({state}); taking it up")
        return records

    def _known(self, job: JobExecutorInterface, record: Record | None) -> set[str]:
        parts = job.jobs if job.is_group() else [job]
        return ({i for part in parts for i in self.marks(part)} | ({record.job_id} if record else set())) - self.over

    def _still_good(self, job: JobExecutorInterface, record: Record, state: str | None) -> bool:
        if newer_than(job.input, record.submitted):
            return False
        result = read_result(paths_of(record.folder, record.job_id))
        if result is not None:
            return result.error is None and all(Path(str(f)).exists() for f in job.output)
        return state in ALIVE

    def _end(self, job: JobExecutorInterface, ids: list[str]) -> None:
        """Ends jobs that work at this job's outputs with other settings or inputs, and waits until they are gone."""
        if not ids:
            return
        self.log(f"{job.name}: settings or inputs changed since job {', '.join(ids)} was submitted; cancelling it")
        self.queue.cancel(ids)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and set((self.queue.states(ids) or {}).values()) & ALIVE:
            time.sleep(1)
        self.over |= set(ids)
