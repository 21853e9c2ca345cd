"""Processes for tests that have everything imported already: forked from a clean server, so that 20 of them cost seconds, not minutes."""

import multiprocessing
import os
import sys
from pathlib import Path

HERE = str(Path(__file__).parent.parent)  # where toys.py lies


def processes():
    """A multiprocessing context whose server has imported the training engine and has run nothing."""
    if HERE not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["toys"])
    return context


def quiet(folder: Path) -> None:
    """What this process says goes to a file."""
    output = open(folder / f"said.{os.getpid()}", "w")  # noqa: SIM115  open as long as the process lives
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    sys.stdout = sys.stderr = output
