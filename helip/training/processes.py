"""One training process per GPU: the command runs itself again under torch's elastic launcher and keeps its exit code."""

import os
import signal
import sys

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from helip.training.state import REQUEUE

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR2"  # that end the launcher after each process has had them


def processes_wanted() -> int:
    """GPUs allotted to this command that no launcher has shared out yet; 1 inside torchrun and on a CPU."""
    return 1 if "WORLD_SIZE" in os.environ else max(1, torch.cuda.device_count())


def relaunch(processes: int, arguments: list[str], entry: tuple[str, ...] = ("-m", "helip")) -> int:
    """Runs `python ENTRY ARGUMENTS` in that many processes; the exit code of the one that failed first, or REQUEUE after a signal."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    meeting = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "run_id": "helip"}
    config = LaunchConfig(1, 1, processes, max_restarts=0, signals_to_handle=SIGNALS, **meeting)
    try:
        elastic_launch(config, sys.executable)(*entry, *arguments)
    except ChildFailedError as error:
        return error.get_first_failure()[1].exitcode
    except SignalException as error:
        # The launcher has passed it on and waited, 30 s at most: each process saved its state if it had begun.
        return REQUEUE if error.sigval in (signal.SIGTERM, signal.SIGUSR2) else 130
    return 0
