"""The smoke study's table 1 through Slurm, with trainings that Slurm interrupts: byte for byte that of a local run."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from workflows import smoke_checkout, until

pytestmark = pytest.mark.long  # two runs of the smoke study
ROOT = Path(__file__).parent.parent.parent
TABLE = "results/smoke/table1.csv"
MADE_BY_JOBS = ("models", "metrics", "state", "logs", "cache")
FAST = ("--profile", "slurm", "--submitit-poll-s", "2", "--seconds-between-status-checks", "1")
CHANGES = {  # to the smoke study: one seed, and trainings long enough to be caught between two steps
    "seeds: [0, 1]": "seeds: [0]",
    "steps: 12,": "steps: 80, save_every: 5,",
    "steps: 6,": "steps: 80, save_every: 5,",
}


def snakemake(folder: Path, environ: dict[str, str], *arguments: str) -> subprocess.Popen:
    """Started; its words go to `folder`/said."""
    environ = {**environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environ.pop("HELIP_DATA", None)
    with open(folder / "said", "w") as output:
        command = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.Popen(command, cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A checkout with the smoke study alone, after a run with the local profile."""
    folder = smoke_checkout(tmp_path_factory.mktemp("smoke") / "checkout")
    smoke = folder / "experiments/studies/smoke.yaml"
    text = smoke.read_text()
    for old, new in CHANGES.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    smoke.write_text(text)
    assert snakemake(folder, dict(os.environ), TABLE, "--profile", "local", "--cores", "2").wait(1800) == 0, (folder / "said").read_text()
    return folder


def held(folder: Path, run: str, seconds: float = 1800) -> tuple[int, str]:
    """(process, Slurm's job id) of a run's training, stopped between two steps after it has saved a state."""
    until(lambda: any((folder / "results/smoke/state").glob(f"{run}-seed0-*/step*.pt")), seconds, f"a state of {run}")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().decode().split("\0")[:-1]
            asked = words[words.index("run") :] if "run" in words else []
            if asked[:6] == ["run", "smoke", "train", run, "0", "--digest"] and (process / "cwd").resolve() == folder:
                os.kill(int(process.name), signal.SIGSTOP)
                environ = dict(line.split("=", 1) for line in (process / "environ").read_bytes().decode().split("\0") if "=" in line)
                array, place = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
                return int(process.name), f"{array}_{place}" if array else environ["SLURM_JOB_ID"]
    raise AssertionError(f"{run} had ended before it was caught")


def meet_the_time_limit(slurm, folder: Path, run: str) -> None:
    """A running training's time limit is set to a minute or so from now; it is held until Slurm has warned its job."""
    process, job = held(folder, run)
    minutes, seconds = map(int, slurm.call("squeue", "-h", "-j", job, "-o", "%M").split(":"))
    slurm.call("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes + 1 + (seconds > 20)}")
    logs = folder / ".snakemake/submitit/train"
    until(lambda: any("Caught signal SIGUSR2" in log.read_text() for log in logs.glob("*/*_log.out")), 600, "Slurm's warning")
    slurm.call("scontrol", "update", f"JobId={job}", "TimeLimit=60")  # one is enough
    os.kill(process, signal.SIGCONT)


def test_table_from_slurm_equals_the_local_one(slurm, local, tmp_path):
    there = tmp_path / "on the cluster"
    shutil.copytree(local, there, ignore=shutil.ignore_patterns(".snakemake", *MADE_BY_JOBS, "table1*"))  # keeps the times
    controller = snakemake(there, slurm.environ, TABLE, *FAST)
    try:
        slurm.call("scontrol", "requeue", held(there, "cc3m_clip")[1])  # says TERM, and wakes a stopped process for it
        meet_the_time_limit(slurm, there, "cc3m_clip_helip")
        assert controller.wait(1800) == 0, (there / "said").read_text()
    finally:
        controller.kill()

    for run in ("cc3m_clip", "cc3m_clip_helip"):
        log = there / f"results/smoke/logs/train/{run}.seed0.log"
        saved = re.findall(r"interrupted at step (\d+), state saved", log.with_name(f"{log.name}.earlier").read_text())
        assert saved
        assert f"goes on from step {saved[-1]} of 80" in log.read_text()
    models = sorted(path.relative_to(local) for path in local.glob("results/smoke/models/*/*/*.safetensors"))
    metrics = sorted(path.relative_to(local) for path in local.glob("results/smoke/metrics/*/*/*.json"))
    assert len(models) >= 4
    assert (there / "said").read_text().count("train: slurm job") == len(models)
    assert len(metrics) >= len(models)
    for path in models:
        assert (there / path).read_bytes() == (local / path).read_bytes(), path
    assert (there / TABLE).read_bytes() == (local / TABLE).read_bytes()


def test_doctor_examines_a_node_and_says_it_on_the_terminal(slurm, local):
    code = snakemake(local, slurm.environ, "doctor", *FAST).wait(1800)
    output = (local / "said").read_text()
    assert "examine_node: slurm job" in output
    assert re.search(r"^ok +Slurm: ", output, re.M)
    assert (code == 0) == ("\n0 problems\n" in output)  # a machine of little disk or memory has one
    assert not (local / "results/doctor.txt").exists()
