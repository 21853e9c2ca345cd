"""What a Snakemake run says at its very end: each failed job's own sentence and where its log lies.

Snakemake's own report of a failed job is dropped by `--quiet rules`, and stands above other messages without it. Standard library only.
"""

import atexit
import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path

MOST = 10  # failed jobs that are shown
TAIL = 64_000  # bytes of a log that are looked at
SENTENCE = re.compile(r"^helip[ \w-]*: .+", re.MULTILINE)  # what every command of ours says of bad input
NOISE = re.compile(r"^(\[.*\]|srun: .*|slurmstepd: .*|submitit .*|\S*(Warning|WARNING):? .*|-+)$")


@dataclass(frozen=True)
class Failure:
    """A job that failed. `message` is what the executor says of it; it is empty for a job of this machine."""

    rule: str
    logs: tuple[Path, ...]
    message: str = ""

    def text(self) -> str:
        """Returns the sentence of the job, then each log's path on a line of its own."""
        message = self.message.partition("For further error details")[0].strip().rstrip(".")
        reasons = [message] if message else []
        reasons += [reason for log in self.logs if (reason := last_sentence(log)) and reason not in message]
        return "\n".join([f"{self.rule} failed: {'; '.join(reasons) or 'it left no word'}", *(f"  log: {log}" for log in self.logs)])


def last_sentence(log: Path) -> str:
    """Returns the last sentence of a command of ours in a log, or else its last line that says something; empty where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    if ours := SENTENCE.findall(text):
        return ours[-1].strip()
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip() and not NOISE.match(line.strip())), "")


class FailedJobs(logging.Handler):
    """A handler of Snakemake's logger that remembers which jobs failed, whatever `--quiet` leaves of the messages on the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[object, Failure] = {}  # by Snakemake's number of the job

    def emit(self, record: logging.LogRecord) -> None:
        """Remembers the job of a record that says that one failed; one that was tried again and ended well is forgotten."""
        fields, event = record.__dict__, str(getattr(record, "event", ""))
        if event == "job_error":
            logs = tuple(Path(str(log)) for log in fields["log"])
            self.failures[fields["jobid"]] = Failure(fields["rule_name"], logs, fields["rule_msg"] or "")
        elif event == "job_finished":
            self.failures.pop(fields.get("job_id"), None)

    def text(self) -> str:
        """Returns what is printed at the end; empty when no job failed."""
        failures = list(self.failures.values())
        more = [f"and {len(failures) - MOST} more failed jobs"] if len(failures) > MOST else []
        return "\n".join([*(failure.text() for failure in failures[:MOST]), *more])

    def print_at_exit(self) -> None:
        """Makes the failed jobs the last words of this process."""
        atexit.register(lambda: print(f"\n{self.text()}", file=sys.stderr, flush=True) if self.failures else None)


def follow(logger: logging.Logger) -> FailedJobs:
    """Returns a handler that was added to Snakemake's logger."""
    handler = FailedJobs()
    logger.addHandler(handler)
    return handler
