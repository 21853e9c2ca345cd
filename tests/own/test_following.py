"""What Snakemake prints, followed: a line for each job, and the failed job's own sentence."""

import io
import os
import signal
import sys
import threading
import time

import pytest

from helip.own import running
from helip.own.running import _follow, _reason, command

PRINTED = """Job stats:
job       count
------  -------
total         3

rule corpus:
    input: a
    wildcards: study=own, corpus=train

1 of 3 steps (33%) done
rule evaluate_own:
    wildcards: study=own, run=helip, seed=0r1
2 of 3 steps (67%) done
"""
FAILED = [
    "Error in rule corpus:",
    "    helip run: whole: 5 of 10 samples cannot be used; mend the shards",
    "CalledProcessError in file rules/data.smk",
]


def test_a_line_for_each_job(capsys):
    log = io.StringIO()
    done, _ = _follow(io.StringIO(PRINTED), log)
    assert capsys.readouterr().err == "[  0/3] corpus train\n[  1/3] evaluate helip 0r1\n"
    assert done == 2 and log.getvalue() == PRINTED


def test_the_reason_is_the_jobs_own_sentence(tmp_path):
    assert _reason(tmp_path, FAILED, 1).startswith("whole: 5 of 10 samples cannot be used; mend the shards (")
    assert _reason(tmp_path, FAILED[2:], 1).startswith("CalledProcessError in file rules/data.smk (exit code 1;")
    missing = ["MissingOutputException in rule answer:", "Job 1 left no card.md", "WorkflowError:", "At least one job failed."]
    assert _reason(tmp_path, missing, 1).startswith("MissingOutputException in rule answer: Job 1 left no card.md (exit code 1;")
    explained = ["WorkflowError:", "    No such file: a.txt", "", "Shutting down"]
    assert _reason(tmp_path, explained, 1).startswith("WorkflowError: No such file: a.txt (exit code 1;")
    assert _reason(tmp_path, [], 1).startswith("Snakemake said nothing (exit code 1;")


def test_a_profile_replaces_the_cores(project):
    here, cluster = command(project, ["x"], 2, None), command(project, ["x"], 2, "slurm")
    assert here[here.index("--cores") + 1] == "2" and "--profile" not in here
    assert cluster[cluster.index("--profile") + 1] == str(project / "slurm") and "--cores" not in cluster


SLEEPER = """
import pathlib, time
pathlib.Path("begun").touch()
try:
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path("stopped").touch()
    raise SystemExit(1)
"""


def test_ctrl_c_stops_the_jobs_and_is_no_failure(tmp_path, monkeypatch):
    """As it comes to a command that a shell put into the background, too: such a one ignores SIGINT until it says otherwise."""
    monkeypatch.setattr(running, "command", lambda *_: [sys.executable, "-c", SLEEPER])

    def interrupt():
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        threading.Thread(target=interrupt).start()
        with running.alone(tmp_path) as lock, pytest.raises(KeyboardInterrupt):
            running.build(tmp_path, ["x"], 1, None, lock)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "stopped").exists()
