"""What benchmarks of one algorithm beside another share: each in a process of its own, its memory, the machine, and their options."""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np


class Memory(threading.Thread):
    """The peak of what this process has allocated itself, mapped files left out."""

    def __init__(self):
        super().__init__(daemon=True)
        self.start_at, self.peak = self.now(), 0
        self.start()

    @staticmethod
    def now() -> int:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) // 1024

    def run(self) -> None:
        while True:
            self.peak = max(self.peak, self.now() - self.start_at)
            time.sleep(0.01)


def keep_bytecode(*modules: str) -> None:
    """Has Python keep what it compiles, as it does by default, and compiles the modules in a process of its own, uncounted.

    Otherwise each process would compile torch again, or the first would for all: seconds that no user pays twice.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", f"import {', '.join(modules)}"], check=True, stderr=subprocess.DEVNULL)


def add_options(parser: argparse.ArgumentParser, methods: Sequence[str]) -> None:
    """Adds the options of the features, of the file of results, and of the process that measures one method."""
    parser.add_argument("--image-features", type=Path, help="instead of generated features; give both")
    parser.add_argument("--text-features", type=Path)
    parser.add_argument("--out", type=Path, help="JSON lines are added to this file")
    parser.add_argument("--one", choices=methods, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)


def in_a_process(benchmark: str, method: str, folder: Path, workers: int, options: dict[str, object]) -> tuple[dict, np.ndarray]:
    """Runs `benchmark --one method` with its options on so many threads; returns what it measured and the array that it saved."""
    result = folder / f"{method}.npy"
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, benchmark, "--one", method, "--result", str(result), "--workers", str(workers), *given]
    threads = {name: str(workers) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads, check=False)
    if done.returncode:
        sys.exit(f"{method}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1]), np.load(result)


def write(row: dict, out: Path | None) -> None:
    """Prints a row as JSON, and adds it with the machine to a file where one is named."""
    print(json.dumps(row), flush=True)
    if out:
        with open(out, "a") as file:
            file.write(json.dumps(row | machine()) + "\n")


def machine() -> dict:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"machine": cpu, "cores": os.cpu_count(), "date": datetime.now(UTC).date().isoformat(), "load": round(os.getloadavg()[0], 1)}
