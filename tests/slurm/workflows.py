"""Snakefiles of ours, each in a folder of its own, and the snakemake that runs them under the tracked profile."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
PROFILE = HERE.parent.parent / "slurm"


class Workflow:
    """A Snakefile of ours in a folder of its own, and the snakemake that runs it under the tracked profile."""

    def __init__(self, folder: Path, snakefile: str, environ: dict[str, str]):
        folder.mkdir(parents=True)
        self.folder, self.snakefile, self.process = folder, HERE / snakefile, None
        path = f"{PROFILE.parent}:{PROFILE}"  # this checkout's plugin, whichever is installed
        self.environ = {**environ, "HERE": str(HERE), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self.output = folder / "snakemake.out"

    def start(self, *arguments: str) -> "Workflow":
        fast = ["--submitit-poll-s", "2", "--seconds-between-status-checks", "1", "--latency-wait", "5"]
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.snakefile), "--profile", str(PROFILE), *fast, *arguments]
        with open(self.output, "a") as out:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=heed_interrupts,
            )
        return self

    def finish(self, seconds: float) -> int:
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"snakemake still ran after {seconds} s:\n{self.printed[-6000:]}") from None

    def run(self, *arguments: str, seconds: float = 1800) -> int:
        return self.start(*arguments).finish(seconds)

    @property
    def printed(self) -> str:
        return self.output.read_text()

    def job_id(self, rule: str) -> str | None:
        """The id of the last job submitted for a rule."""
        words = re.findall(rf"^{rule}: \w+ job (\w+), log ", self.printed, re.M)
        return words[-1] if words else None

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()


def smoke_checkout(folder: Path) -> Path:
    """A folder with the graph and the smoke study alone."""
    folder.mkdir(parents=True)
    root = PROFILE.parent
    for part in ("rules", "slurm", "local", "profiles", "experiments"):
        shutil.copytree(root / part, folder / part)
    shutil.copy(root / "Snakefile", folder)
    (folder / "slurm/site.yaml").unlink(missing_ok=True)
    for study in (folder / "experiments/studies").glob("*.yaml"):
        if study.stem != "smoke":
            study.unlink()
    return folder


def heed_interrupts() -> None:
    """As at a terminal: tests that a script started in the background inherit a SIGINT that is ignored, and hand it on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until(true: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.1)
