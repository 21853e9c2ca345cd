"""After a controller was killed: which of its jobs the next one takes up, and which it must end first."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from .ledger import Ledger, Record, blank_record, made_from, newer_than, part_digest
from .queue import ALIVE, LocalQueue, SlurmQueue, read_result
from .submission import paths_of


class Recovery:
    """This decides which jobs of an earlier controller go on."""

    def __init__(self, ledger: Ledger, queue: SlurmQueue | LocalQueue, log: Callable[[str], None]):
        self.ledger, self.queue, self.log = ledger, queue, log
        self.left = ledger.records()

    def settle(self, done: Iterable[JobExecutorInterface], note: Callable[[JobExecutorInterface], None]) -> None:
        """Notes the jobs that ended well while nobody watched: `done` are those that Snakemake believes done, `note` records one as such.

        Raises:
            WorkflowError: such a job ran with other settings than today's, which Snakemake cannot see.
        """
        noted: Counter[str] = Counter()
        for job in done if self.left else ():
            for record in self._of(blank_record(job)):
                if part_digest(job) not in record.parts:
                    made = f"{', '.join(map(str, job.output))}: made by job {record.job_id} of a killed snakemake with other settings"
                    raise WorkflowError(f"{made}; delete it and start again")
                note(job)
                noted[record.work] += 1
        for record in [r for r in self.left if noted[r.work] == len(r.parts)]:
            self.left.remove(record)
            self.ledger.forget(record.work)

    def resumed(self, jobs: Sequence[JobExecutorInterface]) -> dict[JobExecutorInterface, Record | None]:
        """Returns for each job the record of a submitted one that does the same work, or None: submit it. The queue is asked once."""
        wanted = {job: blank_record(job) for job in jobs} if self.left else {}
        mine = {job: self._of(blank) for job, blank in wanted.items()}
        asked = sorted({record.job_id for records in mine.values() for record in records})
        states = self.queue.states(asked) if asked else {}
        if states is None:  # Slurm does not answer: believe the records, its first answer will tell
            states = dict.fromkeys(asked, "PENDING")
        resumed: dict[JobExecutorInterface, Record | None] = dict.fromkeys(jobs)
        for job, records in mine.items():
            for record in records:
                state = states.get(record.job_id)
                self.left = [other for other in self.left if other is not record]
                if resumed[job] is None and record.work == wanted[job].work and self._still_good(job, record, state):
                    resumed[job] = record
                    self.log(f"{job.name}: job {record.job_id} of an earlier snakemake does this ({state or 'ended'}); taking it up")
                else:
                    self._end(job, record, state)
        return resumed

    def _of(self, blank: Record) -> list[Record]:
        return [record for record in self.left if set(blank.outputs) & set(record.outputs)]

    def _still_good(self, job: JobExecutorInterface, record: Record, state: str | None) -> bool:
        if newer_than(made_from(job), record.submitted):
            return False
        result = read_result(paths_of(record.folder, record.job_id))
        if result is not None:
            return result.error is None and all(Path(f).exists() for f in record.outputs)
        return state in ALIVE

    def _end(self, job: JobExecutorInterface, record: Record, state: str | None) -> None:
        """Ends a job that works at this job's outputs with other settings or inputs, and waits until it is gone."""
        if state in ALIVE:
            self.log(f"{job.name}: settings or inputs changed since job {record.job_id} was submitted; cancelling it")
            self.queue.cancel([record.job_id])
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline and (self.queue.states([record.job_id]) or {}).get(record.job_id) in ALIVE:
                time.sleep(0.5)
        self.ledger.forget(record.work)
