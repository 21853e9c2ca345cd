"""Why a job died, for its user: a sentence and the last lines of its log."""

from pathlib import Path

from .queue import Result

REMEDIES = {
    "OUT_OF_MEMORY": "it ran out of memory; raise mem_mb of the rule (`rules:` in slurm/site.yaml)",
    "TIMEOUT": "it reached its time limit more often than `requeues` allows; raise runtime or requeues of the rule",
    "CANCELLED": "it was cancelled (scancel, or a limit of the site)",
    "NODE_FAIL": "its nodes failed more often than `requeues` allows",
    "BOOT_FAIL": "its nodes failed to start more often than `requeues` allows",
    "PREEMPTED": "it was preempted without a requeue more often than `requeues` allows",
    "DEADLINE": "its deadline passed",
    "COMPLETED": "Slurm calls it completed, but it left no result: is the log folder on a file system that the nodes share?",
}


def why(job_id: str, state: str | None, result: Result | None) -> str:
    if result is not None and result.error is not None:
        lines = [line for line in result.error.strip().splitlines() if line.strip()]
        return f"job {job_id} failed: {lines[-1].strip() if lines else 'it gave no reason'}"
    word = (state or "").split()[0] if state else ""
    reason = REMEDIES.get(word, "it left the queue without a result")
    return f"job {job_id} died{f' ({state})' if state else ''}: {reason}"


def tail(name: str, log: Path, lines: int = 30) -> str:
    """The last lines of a log under a heading with the rule's name; says so when there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - 32_000))
            last = file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        last = ["(there is no log: the job never started, or its folder is not shared with the node)"]
    return "\n".join(["", f"--- rule {name}, the end of {log}", *last, f"--- rule {name}"])
