"""What is known of a job and what is thought of it: states, results, reasons, logs. Fakes of squeue and sacct; needs no Slurm."""

import os
import pickle

import pytest
import yaml
from snakemake_executor_plugin_submitit import ExecutorSettings, reasons
from snakemake_executor_plugin_submitit.queue import LocalQueue, Result, SlurmQueue, Verdict, read_result, read_results, verdict
from submitit.core.utils import JobPaths
from workflows import PROFILE


@pytest.mark.parametrize(
    ("result", "state", "quiet", "expected"),
    [
        (Result(None), None, 0, Verdict.DONE),
        (Result(None), "RUNNING", 0, Verdict.DONE),  # the result is written before Slurm calls the job completed
        (Result("boom"), "RUNNING", 0, Verdict.FAILED),
        (None, None, 0, Verdict.RUNNING),  # not asked yet
        (None, "PENDING", 999, Verdict.RUNNING),
        (None, "REQUEUED", 999, Verdict.RUNNING),
        (None, "NODE_FAIL", 1, Verdict.RUNNING),  # Slurm may be requeueing it
        (None, "NODE_FAIL", 20, Verdict.LOST),
        (None, "PREEMPTED", 20, Verdict.LOST),
        (None, "TIMEOUT", 20, Verdict.LOST),
        (None, "OUT_OF_MEMORY", 20, Verdict.FAILED),
        (None, "CANCELLED", 20, Verdict.FAILED),
        (None, "COMPLETED", 20, Verdict.FAILED),  # without a result
        (None, None, 20, Verdict.FAILED),  # gone from the queue
    ],
)
def test_verdicts(result, state, quiet, expected):
    assert verdict(result, state, quiet, settle_s=15) is expected


def test_a_dead_job_is_reported_within_a_minute():
    """The tracked profile: a job dies right after one question, the next finds it dead, and those after that confirm it."""
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
    poll_s, check_s = profile["submitit-poll-s"], profile["seconds-between-status-checks"]
    confirming_s = min(5, poll_s)  # while a job looks dead Slurm is asked this often
    assert poll_s == ExecutorSettings().poll_s
    assert poll_s + check_s + SlurmQueue.settle_s + confirming_s + check_s < 60


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """programs(name, script): a fake Slurm command before the real ones on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def fake(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return fake


def test_squeue_is_read(programs):
    programs("squeue", "echo '7|RUNNING'; echo '8_0|PENDING'; echo '8_1|OUT_OF_MEMORY'")
    assert SlurmQueue().states(["7", "8_0", "8_1", "9"]) == {"7": "RUNNING", "8_0": "PENDING", "8_1": "OUT_OF_MEMORY"}


def test_forgotten_job_is_gone_and_silence_decides_nothing(programs):
    programs("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert SlurmQueue().states(["7"]) == {}
    programs("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    queue = SlurmQueue()
    assert queue.states(["7"]) is None
    assert "Unable to contact" in queue.trouble


def test_reason_of_a_death_comes_from_sacct_where_there_is_one(programs, tmp_path):
    log = tmp_path / "log"
    programs("sacct", "echo OUT_OF_MEMORY")
    assert SlurmQueue().final_state("7") == "OUT_OF_MEMORY"
    assert reasons.why("7", "OUT_OF_MEMORY", None, log) == (
        "job 7 died (OUT_OF_MEMORY): it ran out of memory; raise mem_mb of the rule (`rules:` in slurm/site.yaml)"
    )
    programs("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert SlurmQueue().final_state("7") == ""
    assert reasons.why("7", "CANCELLED by 1000", None, log).startswith("job 7 died (CANCELLED by 1000): it was cancelled")
    assert reasons.why("7", None, None, log) == "job 7 died: it left the queue without a result"


@pytest.mark.parametrize(
    ("line", "killed"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0. Some of your processes may have been killed", True),
        ("srun: error: n1: task 0: Out Of Memory", True),
        ("srun: error: n1: task 0: Killed", True),
        ("Command 'helip mine' died with <Signals.SIGKILL: 9>.", True),
        ("Command 'helip mine' returned non-zero exit status 137.", True),
        ("Command 'helip mine' returned non-zero exit status 2.", False),
        ("srun: error: n1: task 0: Killed\nStarting with JobEnvironment(job_id=7)\nValueError: boom", False),  # of an earlier start
    ],
)
def test_killed_process_is_seen_without_sacct_in_the_jobs_log(tmp_path, line, killed):
    log = tmp_path / "log"
    log.write_text(f"Starting with JobEnvironment(job_id=7)\n{line}\nWorkflowError: \n")
    for text in (reasons.why("7", "FAILED", None, log), reasons.why("7", "RUNNING", Result("RuntimeError: exit status 1"), log)):
        assert text.endswith("when memory runs out: raise mem_mb of the rule (`rules:` in slurm/site.yaml)") is killed


def test_reused_process_ids_are_not_ours():
    assert LocalQueue().states([str(os.getpid()), "999999999"]) == {}


def test_tail_shows_the_rules_log_then_the_jobs(tmp_path):
    rule, job = tmp_path / "rule.log", tmp_path / "job.log"
    rule.write_bytes(b"\n".join(b"line %d" % i for i in range(100)) + b"\n\xff broken\n")
    text = reasons.tail("train", job, [str(rule), "absent.log"], lines=3)
    assert text.splitlines()[1:] == [
        f"--- rule train, the end of {rule}",
        "line 98",
        "line 99",
        "\ufffd broken",
        f"--- rule train, the end of {job}",
        "(empty or missing: the job never started, or its folder is not shared with the node)",
        "--- rule train",
    ]


def test_results_of_many_jobs_cost_one_listing_a_folder(tmp_path, monkeypatch):
    jobs = [JobPaths(tmp_path, job_id=f"7_{i}", task_id=0) for i in range(50)]
    jobs[3].result_pickle.write_bytes(pickle.dumps(("success", 0)))
    jobs[4].result_pickle.write_bytes(pickle.dumps(("error", "Traceback\nValueError: boom\n")))
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or listdir(folder))
    results = read_results(jobs)
    assert listed == [tmp_path]
    assert [i for i, result in enumerate(results) if result] == [3, 4]
    assert reasons.why("7_4", "RUNNING", results[4], tmp_path / "log") == "job 7_4 failed: ValueError: boom"
    assert read_result(JobPaths(tmp_path / "gone", job_id="1", task_id=0)) is None
