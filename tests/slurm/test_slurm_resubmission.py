"""A job that the cluster lost is submitted again, and noted before it is. Fakes of the queue and of sbatch; needs no Slurm."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_submitit import ExecutorSettings
from snakemake_executor_plugin_submitit.executor import Executor
from snakemake_executor_plugin_submitit.job import ShellJob
from snakemake_executor_plugin_submitit.ledger import Ledger, Record
from snakemake_executor_plugin_submitit.planning import Submission
from snakemake_executor_plugin_submitit.request import SubmissionError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo


class Forgetful:
    """A queue that has forgotten every job; the accounting database knows one state."""

    settle_s, trouble = 1.0, ""

    def __init__(self, final: str):
        self.final = final

    def states(self, ids):
        return {}

    def final_state(self, job_id: str) -> str:
        return self.final

    def nodes(self, job_id: str) -> set[str]:
        return set()


class OneJob(Executor):
    """An executor that watches one job, which has looked dead for a minute; `sbatch` is called with the folder of what is submitted."""

    def __init__(self, folder: Path, sbatch, final: str = "", attempts: int = 1):
        self.settings, self.logdir, self.ledger, self.queue = ExecutorSettings(requeues=1), folder, Ledger(folder), Forgetful(final)
        self.logger = SimpleNamespace(info=print, warning=print, error=print)
        self._failed_nodes, self._unfinished, self._last_warning = {}, {}, 0.0
        self.sbatch, self.failed = sbatch, []
        record = Record("w", ["p"], ["out"], "7_3", 3, str(folder / "first"), attempts=attempts)
        self.ledger.write(record)
        work = Submission(record, ShellJob("true", ".", 1), {"additional_parameters": {}}, 1, None, time.monotonic() - 60)
        self.info = SubmittedJobInfo(SimpleNamespace(name="train", log=[], register=lambda **_: None), "7_3", {"submission": work})
        self._last_query = time.monotonic()

    def _handed_over(self, folder, *_):
        return self.sbatch(folder)

    def report_job_error(self, info, msg=None, **_):
        self.failed.append(msg)

    def check(self) -> list[str]:
        async def alive():
            return [one.external_jobid async for one in self.check_active_jobs([self.info])]

        return asyncio.run(alive())


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL", "TIMEOUT"])
def test_what_slurm_has_forgotten_its_accounting_tells(tmp_path, state):
    """MinJobAge may be shorter than the pause between two questions."""
    one = OneJob(tmp_path, lambda folder: ["8"], state)
    assert (one.check(), one.failed) == (["8"], [])


@pytest.mark.parametrize(
    ("state", "attempts", "why"),
    [
        ("TIMEOUT", 2, "job 7_3 died (TIMEOUT): it reached its time limit more often than `requeues` allows"),
        ("OUT_OF_MEMORY", 1, "job 7_3 died (OUT_OF_MEMORY): it ran out of memory"),
        ("RUNNING", 1, "job 7_3 died (RUNNING): it left the queue without a result"),
        ("", 1, "job 7_3 died: it left the queue without a result"),
    ],
)
def test_other_forgotten_jobs_fail_with_their_reason(tmp_path, state, attempts, why):
    one = OneJob(tmp_path, lambda folder: ["8"], state, attempts)
    assert one.check() == [] and one.failed[0].startswith(why)
    assert list((tmp_path / "jobs").glob("*.json")) == []


def test_a_controller_killed_while_it_resubmits_is_followed_well(tmp_path):
    """sbatch has taken the job, and nobody noted its id: submitit has named the submission file by it."""

    def killed(folder: Path) -> None:
        (folder / "8_submission.sh").touch()
        raise KeyboardInterrupt

    one = OneJob(tmp_path, killed, "NODE_FAIL")
    with pytest.raises(KeyboardInterrupt):
        one.check()
    (record,) = one.ledger.records()
    assert (record.job_id, record.place, record.attempts) == ("8", None, 2)
    assert record.folder != str(tmp_path / "first")


def test_a_refused_resubmission_leaves_no_record(tmp_path):
    def refuse(folder: Path) -> None:
        raise SubmissionError("sbatch refused the job: no")

    one = OneJob(tmp_path, refuse, "NODE_FAIL")
    assert one.check() == [] and one.failed == ["sbatch refused the job: no. "]
    assert list((tmp_path / "jobs").glob("*.json")) == []
