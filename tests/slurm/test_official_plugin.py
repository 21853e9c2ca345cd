"""The rules under Snakemake's own slurm plugin, where that is installed: a corpus and a training with a GPU, on a real Slurm."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workflows import PROFILE, smoke_checkout

pytestmark = pytest.mark.long
MODEL = "results/smoke/models/cc3m_clip/seed0/open_clip_model.safetensors"


@pytest.fixture
def official():
    """Skips where the plugin is not installed."""
    return pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install snakemake-executor-plugin-slurm")


def snakemake(folder: Path, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--executor", "slurm", "--jobs", "2", *arguments]
    environ = {**environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROFILE.parent)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=1800)


def test_rules_plan_under_the_official_plugin(official, tmp_path):
    done = snakemake(smoke_checkout(tmp_path / "checkout"), dict(os.environ), "-n", "results/smoke/table1.csv")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_rules_run_under_the_official_plugin(official, slurm, tmp_path):
    """Without accounting it asks squeue; `gpu`, `mem_mb` and `runtime` reach Slurm as the study declares them."""
    folder = smoke_checkout(tmp_path / "on the cluster")
    # It takes SLURM_CONF away from its jobs, which find this cluster by no other way.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "srun").write_text(f"#!/bin/sh\nSLURM_CONF='{slurm.environ['SLURM_CONF']}' exec {shutil.which('srun')} \"$@\"\n")
    (programs / "srun").chmod(0o755)
    environ = slurm.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    quick = (
        "--slurm-status-command",
        "squeue",
        "--slurm-init-seconds-before-status-checks",
        "2",
        "--seconds-between-status-checks",
        "1",
        "--latency-wait",
        "5",
    )
    asked = ("--slurm-no-account", "--slurm-keep-successful-logs", "--default-resources", "slurm_partition=normal", "--set-resources")
    before = set(slurm.jobs())
    done = snakemake(folder, environ, MODEL, *quick, *asked, "train:gpu=1", "train:runtime=7")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert (folder / MODEL).stat().st_size > 10_000
    jobs = {job: slurm.call("scontrol", "show", "job", job) for job in set(slurm.jobs()) - before}
    of_rule = {rule: [text for text in jobs.values() if f"Comment=rule_{rule}_" in text] for rule in ("corpus", "train")}
    assert [len(texts) for texts in of_rule.values()] == [1, 1]
    (train,) = of_rule["train"]
    for told in ("JobState=COMPLETED", "TimeLimit=00:07:00", "Partition=normal", "MinMemoryNode=2000M", "gpu:1"):
        assert told in train, train
    assert "gpu:1" not in of_rule["corpus"][0]
