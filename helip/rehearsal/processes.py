"""One kind in a process of its own: forked from this one where there is no GPU, which saves it the imports, else started anew."""

import importlib
import multiprocessing
import os
import pkgutil
import subprocess
import sys
from pathlib import Path


def run_child(arguments: list[str], log: Path, limit_s: float, fork: bool) -> int | None:
    """Returns the exit code of helip.rehearsal.child, negative for a signal; None where it was killed after `limit_s` seconds.

    fork: begin as a copy of this process. Never where CUDA may have been touched: a copy cannot use it.
    """
    if not fork:
        with open(log, "w") as out:
            command = [sys.executable, "-m", "helip.rehearsal.child", *arguments]
            try:
                return subprocess.run(command, stdout=out, stderr=out, timeout=limit_s, check=False).returncode
            except subprocess.TimeoutExpired:
                return None
    _warm()
    child = multiprocessing.get_context("fork").Process(target=_child, args=(arguments, log))
    child.start()
    child.join(limit_s)
    if child.is_alive():
        child.kill()
        child.join()
        return None
    return child.exitcode


def _warm() -> None:
    """Imports what the kinds import, once."""
    from helip.rehearsal import jobs

    for module in pkgutil.iter_modules(jobs.__path__):
        importlib.import_module(f"helip.rehearsal.jobs.{module.name}")


def _child(arguments: list[str], log: Path) -> None:
    from helip.rehearsal.child import main

    with open(log, "w") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
        code = main(*arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
