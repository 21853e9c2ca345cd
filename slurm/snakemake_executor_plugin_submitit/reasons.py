"""Why a job died, for its user: a sentence and the last lines of its log."""

import re
from collections.abc import Iterable
from pathlib import Path

from .queue import Result

MORE_MEMORY = "raise mem_mb of the rule (`rules:` in slurm/site.yaml)"
REMEDIES = {
    "OUT_OF_MEMORY": f"it ran out of memory; {MORE_MEMORY}",
    "TIMEOUT": "it reached its time limit more often than `requeues` allows; raise runtime or requeues of the rule",
    "CANCELLED": "it was cancelled (scancel, or a limit of the site)",
    "NODE_FAIL": "its nodes failed more often than `requeues` allows",
    "BOOT_FAIL": "its nodes failed to start more often than `requeues` allows",
    "PREEMPTED": "it was preempted without a requeue more often than `requeues` allows",
    "DEADLINE": "its deadline passed",
    "COMPLETED": "Slurm calls it completed, but it left no result: is the log folder on a file system that the nodes share?",
}


# What Slurm, submitit's srun and Snakemake write when the kernel has killed a process: often the only trace, Slurm calls the job FAILED.
KILLED = re.compile(r"oom[-_]kill|Out Of Memory|SIGKILL|exit status 137|task \d+: Killed")


def why(job_id: str, state: str | None, result: Result | None, job_log: Path) -> str:
    """Returns a sentence on why a job died, with the remedy where one is known."""
    killed = f"; a process of it was killed, as happens when memory runs out: {MORE_MEMORY}" if _was_killed(job_log) else ""
    if result is not None and result.error is not None:
        lines = [line for line in result.error.strip().splitlines() if line.strip()]
        return f"job {job_id} failed: {lines[-1].strip() if lines else 'it gave no reason'}{killed}"
    word = (state or "").split()[0] if state else ""
    reason = REMEDIES.get(word, f"it left the queue without a result{killed}")
    return f"job {job_id} died{f' ({state})' if state else ''}: {reason}"


def _was_killed(job_log: Path) -> bool:
    """In its last start: Slurm kills what is left of a job before it requeues it."""
    start = "\n".join(_last_lines(job_log, 500)).rpartition("Starting with JobEnvironment")[2]
    return KILLED.search(start) is not None


def _last_lines(file: Path, count: int) -> list[str]:
    try:
        with open(file, "rb") as open_file:
            open_file.seek(max(0, open_file.seek(0, 2) - 32_000))
            return open_file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def tail(name: str, job_log: Path, rule_logs: Iterable[str], lines: int = 30) -> str:
    """Returns the last lines of a rule's own logs, then of the job's, each under a heading with the rule's name."""
    ends = {Path(str(log)): _last_lines(Path(str(log)), lines) for log in [*rule_logs, job_log]}
    if not ends[job_log]:
        ends[job_log] = ["(empty or missing: the job never started, or its folder is not shared with the node)"]
    return "".join(f"\n--- rule {name}, the end of {log}\n" + "\n".join(last) for log, last in ends.items() if last) + f"\n--- rule {name}"
