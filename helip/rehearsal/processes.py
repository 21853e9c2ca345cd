"""One kind in a process of its own, started anew: a copy of this one could use neither CUDA nor torch's threads, once they were used."""

import os
import subprocess
import sys
from pathlib import Path


def run_child(arguments: list[str], log: Path, limit_s: float) -> int | None:
    """Returns the exit code of helip.rehearsal.child, negative for a signal; None where it was killed after `limit_s` seconds."""
    command = [sys.executable, "-m", "helip.rehearsal.child", *arguments]
    environ = {"OMP_WAIT_POLICY": "passive"} | os.environ  # as the rules run jobs
    with open(log, "w") as out:
        try:
            return subprocess.run(command, stdout=out, stderr=out, env=environ, timeout=limit_s, check=False).returncode
        except subprocess.TimeoutExpired:
            return None
