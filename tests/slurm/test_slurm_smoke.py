"""The smoke study's table 1: models and metrics made by Slurm jobs are those of a local run, byte for byte."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TABLE = "results/smoke/table1.csv"
MADE_BY_JOBS = ("models", "metrics", "state", "logs", "cache")


def snakemake(folder: Path, environ: dict[str, str], *arguments: str, seconds: int) -> str:
    command = [sys.executable, "-m", "snakemake", TABLE, *arguments]
    environ = {**environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stderr


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A checkout with the smoke study alone, at one seed, after a run with the local profile."""
    folder = tmp_path_factory.mktemp("smoke") / "checkout"
    for part in ("Snakefile", "rules", "slurm", "local", "profiles", "experiments"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        if (ROOT / part).exists():
            folder.mkdir(exist_ok=True)
            copy(ROOT / part, folder / part)
    (folder / "slurm/site.yaml").unlink(missing_ok=True)
    for study in (folder / "experiments/studies").glob("*.yaml"):
        if study.stem != "smoke":
            study.unlink()
    smoke = folder / "experiments/studies/smoke.yaml"
    text = smoke.read_text()
    assert "seeds: [0, 1]" in text
    smoke.write_text(text.replace("seeds: [0, 1]", "seeds: [0]"))
    snakemake(folder, dict(os.environ), "--profile", "local", "--cores", "2", seconds=560)
    return folder


def test_table_from_slurm_is_the_local_one(slurm, local, tmp_path):
    there = tmp_path / "on the cluster"
    shutil.copytree(local, there, ignore=shutil.ignore_patterns(".snakemake", *MADE_BY_JOBS, "table1*"))  # keeps the times
    said = snakemake(
        there, slurm.environ, "--profile", "slurm", "--submitit-poll-s", "2", "--seconds-between-status-checks", "1", seconds=400
    )

    models = sorted(path.relative_to(local) for path in local.glob("results/smoke/models/*/*/*.safetensors"))
    metrics = sorted(path.relative_to(local) for path in local.glob("results/smoke/metrics/*/*/*.json"))
    assert len(models) >= 4
    assert said.count("train: slurm job") == len(models)
    assert len(metrics) >= len(models)
    for path in models:
        assert (there / path).read_bytes() == (local / path).read_bytes(), path
    assert (there / TABLE).read_bytes() == (local / TABLE).read_bytes()
