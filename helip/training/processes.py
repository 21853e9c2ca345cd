"""One training process per GPU, on one node or many: torch's elastic launcher, but signals and exit codes are the training's own.

torchrun makes 1 of any exit code and kills what has not ended 30 s after a signal. Slurm's requeue depends on the code, and a large
state takes its time to be saved.
"""

import argparse
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

import psutil
import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from helip.training import Interrupts
from helip.training.state import REQUEUE

FORWARDED = (signal.SIGTERM, signal.SIGUSR2)  # the trainings save and leave; other signals end the launcher and them
GRACE = 10.0  # seconds in which all nodes leave with the same code: srun kills those that are left


class Node(NamedTuple):
    """A node is this machine among those that train together, and where they meet."""

    nodes: int = 1
    rank: int = 0
    meeting: str = "localhost:0"  # host:port; port 0 is any free one

    def config(self, processes: int) -> LaunchConfig:
        """Returns the launcher's configuration for that many processes on this machine."""
        alone = self.nodes == 1
        return LaunchConfig(
            self.nodes,
            self.nodes,
            processes,
            run_id="helip",
            max_restarts=0,
            rdzv_backend="c10d" if alone else "static",
            rdzv_endpoint=self.meeting,
            rdzv_configs={} if alone else {"rank": self.rank},
            signals_to_handle="SIGINT,SIGHUP,SIGQUIT",
        )


def processes_wanted() -> int:
    """Returns the number of GPUs allotted to this command that no launcher has shared out yet; 1 inside torchrun and on a CPU."""
    return 1 if "WORLD_SIZE" in os.environ else max(1, torch.cuda.device_count())


def relaunch(processes: int, arguments: list[str], entry: tuple[str, ...] = ("-m", "helip"), listening: Interrupts | None = None) -> int:
    """Runs `python ENTRY ARGUMENTS` in that many processes of this machine and returns the exit code; see `run`."""
    return run([sys.executable, *entry, *arguments], processes, listening=listening)


ALONE = Node()


def run(command: list[str], processes: int, node: Node = ALONE, listening: Interrupts | None = None) -> int:
    """Runs the command in that many processes and returns the exit code.

    The code is REQUEUE when one of them returned it or a signal ended them, else that of the first that failed, else 0. `listening` are
    interrupts that have been listened for since before torch was imported.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    stopped: list[int] = []
    forward, before = _forwarding(stopped), {}
    try:
        for number in FORWARDED:
            before[number] = signal.signal(number, forward)
        if listening and listening.seen:
            return REQUEUE
        code = _launched(command, node.config(processes), stopped)
        if code == REQUEUE and node.nodes > 1:
            time.sleep(GRACE)
        return code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _launched(command: list[str], config: LaunchConfig, stopped: list[int]) -> int:
    try:
        elastic_launch(config, command[0])(*command[1:])
        return 0
    except ChildFailedError as error:
        return _code(error, stopped)
    except SignalException as error:
        return REQUEUE if error.sigval in FORWARDED else 130


def _forwarding(stopped: list[int]) -> Callable[[int, FrameType | None], None]:
    ended = _children_ended()

    def forward(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        children = psutil.Process().children()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(number)
        if not children and _children_ended() == ended:  # there is none yet
            raise SignalException("a signal came before the processes were started", signal.Signals(number))

    return forward


def _children_ended() -> int:
    """Grows whenever a child of this process ends: what those that ended took of the machine."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def _code(error: ChildFailedError, stopped: list[int]) -> int:
    codes = [failure.exitcode for failure in error.failures.values()]
    if REQUEUE in codes or any(-number in codes for number in stopped):  # the latter before it could listen: nothing was begun
        return REQUEUE
    first = error.get_first_failure()[1].exitcode
    return first if first >= 0 else 128 - first  # of a process that a signal killed, as a shell says it


def main() -> int:
    """Reads torchrun's options from the command line, runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m helip.training.processes", description=__doc__.partition("\n")[0])
    for name, kind in (("nnodes", int), ("node-rank", int), ("master-addr", str), ("master-port", int), ("nproc-per-node", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    a = parser.parse_args()
    return run(a.command, a.nproc_per_node, Node(a.nnodes, a.node_rank, f"{a.master_addr}:{a.master_port}"))


if __name__ == "__main__":
    sys.exit(main())
