"""What runs on the node: the job's command in a session of its own, and what signals do to it.

Slurm warns a job with USR2 before its time limit and at preemption (submitit's handler calls `checkpoint`), and says SIGTERM when it
takes the node away: at `scontrol requeue`, `scancel`, or preemption without a warning; after its KillWait it kills. Both signals are for
those who listen, that is, trainings, which save: bash and the commands around them ignore them, or they would take the training along.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from submitit.core.utils import UncompletedJobError
from submitit.helpers import DelayedSubmission

from helip.gpus import lease

from .stops import teach

TERM_PATIENCE_S = 300.0
# Runs $0 beside a reader that kills the session's processes when the pipe at stdin closes.
DIE_WITH_US = 'exec 3<&0 0</dev/null; { read -r _ <&3; kill -KILL 0; } & exec 3<&-; exec bash -c "$0"'


def _ignore_warnings() -> None:
    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class ShellJob:
    """This runs one command line; called again after a requeue it runs the same line."""

    def __init__(
        self, command: str, cwd: str, grace_s: float, gpus: int = 0, offered: list[str] | None = None, logs: Sequence[str] = (),
        warning_s: float = 0,
    ):  # fmt: skip
        self.command, self.cwd, self.grace_s, self.logs, self.warning_s = command, cwd, grace_s, logs, warning_s
        self.gpus, self.offered = gpus, offered  # ids to lease GPUs from; None: this is Slurm, which assigns them
        self.finished = False
        self._child: subprocess.Popen | None = None
        self._told_to_stop: float | None = None  # when, by the monotonic clock

    def __getstate__(self):
        return {**self.__dict__, "_child": None, "_told_to_stop": None}  # a Popen cannot be pickled

    def __call__(self) -> int:
        if self.finished:
            return 0
        teach(self.warning_s)
        signal.signal(signal.SIGTERM, self._stop)  # after submitit has set its own, which ignores it
        self._keep_logs()
        try:
            with ExitStack() as stack:
                status = self._run(self._environ(stack))
        except UncompletedJobError:  # after the last warning, when submitit requeues no more: the line may have ended in its grace
            if self._child is None or self._child.poll() != 0:
                raise
            return 0
        if status == 0:
            return 0
        self._wait_for_the_end()
        raise RuntimeError(f"the job's command ended with exit status {status}")

    def _keep_logs(self) -> None:
        """Snakemake removes a rule's log when the rule runs again: what earlier starts said moves to LOG.earlier."""
        for log in (Path(self.cwd, name) for name in self.logs):
            with suppress(OSError), open(log, "rb") as before, open(f"{log}.earlier", "ab") as earlier:
                shutil.copyfileobj(before, earlier)

    def _environ(self, stack: ExitStack) -> dict[str, str]:
        """The job's GPUs and nothing else; the commands in it (several, in a group) share them out among themselves (helip.launch)."""
        environ = {name: value for name, value in os.environ.items() if name != "HELIP_GPUS"}
        if self.offered is not None or not self.gpus:
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(stack.enter_context(lease(self.gpus, self.offered or [])))
        environ["HELIP_LEASES"] = stack.enter_context(TemporaryDirectory(prefix="helip-gpus-"))  # ids in a Slurm job are its own
        return environ

    def _run(self, environ: dict[str, str]) -> int:
        """A child in its own session, of which nothing outlives this process; USR2 is for those in it who listen."""
        reading, writing = os.pipe()  # the writing end is ours alone: it closes when we die, however we die
        self._child = subprocess.Popen(
            ["bash", "-c", DIE_WITH_US, self.command],
            cwd=self.cwd,
            env=environ,
            stdin=reading,
            start_new_session=True,
            preexec_fn=_ignore_warnings,
        )
        os.close(reading)
        try:
            while (status := self._child.poll()) is None and not self._too_late():  # wait() holds a lock that the signal handler needs
                time.sleep(0.1)
            return -signal.SIGKILL if status is None else status
        finally:
            self._signal(signal.SIGKILL)
            os.close(writing)

    def _stop(self, signum, frame) -> None:
        self._told_to_stop = self._told_to_stop or time.monotonic()
        self._signal(signal.SIGTERM)

    def _too_late(self) -> bool:
        return self._told_to_stop is not None and time.monotonic() - self._told_to_stop > self.grace_s

    def _wait_for_the_end(self) -> None:
        """A command that failed because Slurm takes the node away has not failed: leave no result, Slurm ends or requeues the job."""
        time.sleep(0.5)  # the signal may come to the child first
        deadline = time.monotonic() + TERM_PATIENCE_S
        while self._told_to_stop is not None and self.offered is None and time.monotonic() < deadline:
            time.sleep(0.5)

    def checkpoint(self) -> DelayedSubmission:
        """Runs inside submitit's USR2 handler: the training saves and ends, then submitit requeues the same line."""
        self._signal(signal.SIGUSR2)
        deadline = time.monotonic() + self.grace_s
        while self._child and self._child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        again = ShellJob(self.command, self.cwd, self.grace_s, self.gpus, self.offered, self.logs, self.warning_s)
        again.finished = self._child is not None and self._child.poll() == 0  # it was done in time: nothing is left to run
        self._signal(signal.SIGKILL)
        return DelayedSubmission(again)

    def _signal(self, number: int) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)
