"""The last words of a failed Snakemake run: each failed job's sentence and its log."""

import logging
import subprocess
import sys

import pytest

from helip.failures import MOST, Failure, follow, last_sentence


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("loading\nhelip run: k = 9: too large; lower k\n", "helip run: k = 9: too large; lower k"),
        ("helip run: an earlier try\nhelip run: the last try\nwritten after it\n", "helip run: the last try"),
        ("Traceback (most recent call last):\n  File x\nRuntimeError: out of luck\n\n", "RuntimeError: out of luck"),
        ("RuntimeError: killed\nsrun: error: n1: task 0: Exited\n", "RuntimeError: killed"),
        ("", ""),
    ],
)
def test_the_sentence_of_a_log(tmp_path, log, sentence):
    path = tmp_path / "log"
    path.write_text(log)
    assert last_sentence(path) == sentence
    assert last_sentence(tmp_path / "absent") == ""


def failed(logger, job: int, rule: str, log, message=None):
    logger.error("Error in rule", extra={"event": "job_error", "jobid": job, "rule_name": rule, "log": [str(log)], "rule_msg": message})


def test_failed_jobs_are_named_and_retried_ones_forgotten(tmp_path):
    logger = logging.Logger("snakemake")
    jobs = follow(logger)
    assert jobs.text() == ""
    log = tmp_path / "train.log"
    log.write_text("helip run: the loss is nan\n")
    failed(logger, 1, "train", log)
    failed(logger, 2, "mine", log, "job 7 died (OUT_OF_MEMORY): it ran out of memory; raise mem_mb. For further error details see the log.")
    failed(logger, 3, "encode", log)
    logger.info("done", extra={"event": "job_finished", "job_id": 3})
    assert jobs.text() == (
        f"train failed: helip run: the loss is nan\n  log: {log}\n"
        f"mine failed: job 7 died (OUT_OF_MEMORY): it ran out of memory; raise mem_mb; helip run: the loss is nan\n  log: {log}"
    )
    assert Failure("table", ()).text() == "table failed: it left no word"
    for job in range(20):
        failed(logger, job, "train", log)
    assert jobs.text().splitlines()[-1] == f"and {20 - MOST} more failed jobs"


def test_they_are_the_last_words_of_the_process():
    code = """
import logging, sys
from helip.failures import follow
logger = logging.Logger("x")
jobs = follow(logger)
logger.error("", extra={"event": "job_error", "jobid": 1, "rule_name": "train", "log": ["a.log"], "rule_msg": "job 1 died"})
jobs.print_at_exit()
print("WorkflowError", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["WorkflowError", "", "train failed: job 1 died", "  log: a.log"]
