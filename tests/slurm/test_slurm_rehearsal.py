"""A rehearsal as a job of a real Slurm: its trainings have a process for each GPU; these meet by gloo where torch sees no GPU."""

import json
import subprocess
import sys

import pytest
import yaml
from workflows import PROFILE, smoke_checkout

pytestmark = pytest.mark.long  # a dozen processes that import torch
PAGE = "results/smoke/rehearsal.html"


def test_a_rehearsal_runs_as_a_job_with_the_gpus_of_a_training(slurm, tmp_path):
    folder = smoke_checkout(tmp_path / "checkout")
    file = folder / "experiments/studies/smoke.yaml"
    study = yaml.safe_load(file.read_text())  # without encoders: pre-training and controls are left
    study |= {"encoders": {}, "evaluation": {"imagenet": study["evaluation"]["imagenet"]}, "resources": {"train": {"gpu": 2, "threads": 4}}}
    file.write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "snakemake", PAGE, "--profile", "slurm", "--submitit-poll-s", "2", "--latency-wait", "5"]
    environ = {**slurm.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{PROFILE.parent}:{PROFILE}"}
    before = set(slurm.jobs())
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=1800)
    log = folder / "results/smoke/logs/rehearse.log"
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:] + (log.read_text()[-3000:] if log.exists() else "")

    (job,) = set(slurm.jobs()) - before
    told = slurm.call("scontrol", "show", "job", job)
    assert "gpu:2" in told and "NumNodes=1" in told and "CPUs/Task=4" in told
    rehearsal = json.loads((folder / PAGE).with_suffix(".json").read_text())
    assert rehearsal["declaration"]["processes"] == 2
    kinds = {one["kind"]: one for one in rehearsal["kinds"]}
    assert {"corpus cc3m", "evaluate imagenet", "train rn50 clip plain 64/1 fp32"} <= set(kinds)
    assert [name for name, one in kinds.items() if any(point["failure"] for point in one["points"])] == []
    costs = yaml.safe_load((folder / "experiments/studies/smoke.costs.yaml").read_text())
    assert "seconds" not in costs["train.rn50.clip"] and costs["train.rn50.clip"]["bytes"] > 10_000  # two processes of a CPU are no GPUs
