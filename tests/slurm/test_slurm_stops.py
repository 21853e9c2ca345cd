"""A preemption is no time-out, however long the job ran; a silent controller is waited for. Fakes of Slurm's programs; needs no Slurm."""

import os
import signal
import time
from datetime import datetime
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_submitit import stops, submission
from snakemake_executor_plugin_submitit.queue import attempts_after
from snakemake_executor_plugin_submitit.request import SubmissionError, leaving_out
from submitit.core.job_environment import SignalHandler
from submitit.core.utils import FailedJobError

DAY = 86400


@pytest.mark.parametrize(
    ("ran_s", "limit_s", "preempted", "expected"),
    [
        (0.9 * DAY, DAY, False, False),  # submitit's rule, 80 % of the limit, calls this a time-out
        (5, 480, False, False),  # and this: its rule begins ten minutes before the limit
        (DAY - 125, DAY, False, True),
        (DAY - 180, DAY, False, True),  # Slurm warns up to a minute early
        (DAY - 125, DAY, True, False),
    ],
)
def test_what_is_a_time_out(ran_s, limit_s, preempted, expected):
    assert stops.is_time_out(ran_s, limit_s, 120, preempted) is expected


def test_slurm_says_when_it_preempted():
    now = time.time()
    stamp = datetime.fromtimestamp(now).strftime("%Y-%m-%dT%H:%M:%S")
    assert stops.preempted_since(f"JobId=7\n   PreemptEligibleTime={stamp} PreemptTime={stamp}\n", now - 60)
    assert not stops.preempted_since(f"   PreemptTime={stamp}\n", now + 3600)  # of a start before this one
    assert not stops.preempted_since(f"   PreemptEligibleTime={stamp} PreemptTime=None\n", now - 60)
    assert not stops.preempted_since("", now)


@pytest.fixture
def handler(monkeypatch):
    """submitit's own handler of a job that has a minute left of a day, set as in a job."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    before = signal.getsignal(signal.SIGUSR2)
    env = SimpleNamespace(_requeue=lambda countdown: None, global_rank=0)
    one = SignalHandler(env, None, SimpleNamespace(_timeout_min=DAY / 60, _timeout_countdown=0))
    one._start_time = time.time() - DAY + 60
    signal.signal(signal.SIGUSR2, one.checkpoint_and_try_requeue)
    yield one
    signal.signal(signal.SIGUSR2, before)


def test_submitits_handler_is_taught(handler, monkeypatch):
    assert handler.has_timed_out()
    stamp = datetime.fromtimestamp(time.time()).strftime("%Y-%m-%dT%H:%M:%S")
    monkeypatch.setattr(stops, "_asked", lambda job_id: f"JobId={job_id} PreemptTime={stamp}")
    stops.teach(120)
    assert not handler.has_timed_out()
    monkeypatch.setattr(stops, "_asked", lambda job_id: "PreemptTime=None")
    assert handler.has_timed_out()
    handler._start_time = time.time() - DAY / 2
    assert not handler.has_timed_out()


def test_preemptions_never_count():
    assert [attempts_after(state, 1) for state in ("PREEMPTED", "NODE_FAIL", "TIMEOUT")] == [1, 2, 2]


def test_failed_nodes_join_those_that_the_site_excludes():
    parameters = {"time": 5, "additional_parameters": {"requeue": True, "exclude": "n9"}}
    assert leaving_out(parameters, {"n2", "n1"})["additional_parameters"] == {"requeue": True, "exclude": "n9,n1,n2"}
    assert leaving_out(parameters, set()) is parameters


def test_a_silent_controller_is_waited_for_and_said(monkeypatch, tmp_path):
    answers = [FailedJobError("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)")] * 3
    lines = []

    def submitted(*arguments):
        if answers:
            raise answers.pop()
        return ["7"]

    monkeypatch.setattr(submission, "_submitted", submitted)
    monkeypatch.setattr(submission, "PAUSE_S", 0)
    monkeypatch.setattr(submission, "_cancel_unheard", lambda folder, ids: lines.append(f"{folder} but {ids}"))
    assert submission.submit("slurm", tmp_path, {}, 3, [], lines.append, 60) == ["7"]
    assert lines.pop() == f"{tmp_path} but ['7']"
    assert len(lines) == 1 and "Slurm does not answer; waiting to submit" in lines[0]
    answers[:] = [FailedJobError("sbatch: error: invalid partition specified: nowhere")]
    with pytest.raises(SubmissionError, match="refused the job: .*invalid partition"):
        submission.submit("slurm", tmp_path, {}, 3, [], lines.append, 60)
    answers[:] = [FailedJobError("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")]
    with pytest.raises(SubmissionError, match=r"Slurm did not answer for -1 s \(--submitit-patience-s\): .*Socket timed out"):
        submission.submit("slurm", tmp_path, {}, 3, [], lines.append, -1)
    assert os.environ.get("SLURM_JOB_ID") is None
