"""Why Slurm told a job to stop: its time limit, which counts towards `requeues`, or a preemption, which never does.

submitit 1.5.4 takes any warning after 80 % of the limit, or in its last ten minutes, for a time-out. Slurm itself knows: it warns of the
limit at most a minute earlier than asked, and notes when it preempted a job.
"""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

EARLY_S = 60.0  # how much sooner than asked Slurm may warn of a time limit (sbatch --signal)
SLACK_S = 15.0  # for a process that began after its job did
SILENCE_S = 300.0  # a job whose requeue nobody heard waits for its end without leaving a result: it is submitted again then


def is_time_out(ran_s: float, limit_s: float, warning_s: float, preempted: bool) -> bool:
    """Returns whether a warning after `ran_s` seconds is that of the time limit, asked for `warning_s` seconds before it."""
    return not preempted and ran_s >= limit_s - warning_s - EARLY_S - SLACK_S


def preempted_since(text: str, begun: float) -> bool:
    """Returns whether `scontrol show job` says that the job was preempted after `begun`, in seconds since the epoch."""
    match = re.search(r"\bPreemptTime=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", text)
    return match is not None and datetime.fromisoformat(match[1]).timestamp() >= begun - SLACK_S


def _asked(job_id: str) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(["scontrol", "show", "job", job_id], capture_output=True, text=True, timeout=20, check=False).stdout
    return ""


def teach(warning_s: float) -> None:
    """Gives the handler that submitit has set for USR2 in this process our judgement, and patience with a silent controller.

    Does nothing where another than submitit's handler is set, as in tests of a job without Slurm.
    """
    handler: Any = getattr(signal.getsignal(signal.SIGUSR2), "__self__", None)
    job_id = os.environ.get("SLURM_JOB_ID")
    if job_id is None or not hasattr(handler, "has_timed_out"):
        return

    def has_timed_out() -> bool:
        limit_s = handler._delayed._timeout_min * 60
        begun = handler._start_time
        ran_s = time.time() - begun
        return is_time_out(ran_s, limit_s, warning_s, False) and not preempted_since(_asked(job_id), begun)

    requeue = handler.env._requeue

    def patient(countdown: int) -> None:
        try:
            requeue(countdown)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            time.sleep(SILENCE_S)
            raise

    handler.has_timed_out, handler.env._requeue = has_timed_out, patient
