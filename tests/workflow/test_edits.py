"""A study that is edited while Snakemake runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRAINED = "results/smoke/models/cc3m_clip/seed0/train.json"
PLUGIN = ("--executor", "submitit", "--submitit-cluster", "local", "--seconds-between-status-checks", "1", "--jobs", "2")


def edit(workspace) -> None:
    file = workspace.folder / "experiments/studies/smoke.yaml"
    text = file.read_text()
    file.write_text(text.replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"))
    assert file.read_text() != text


@pytest.mark.parametrize("how", [(), PLUGIN], ids=["here", "submitted"])
def test_an_edit_while_snakemake_runs_is_refused(workspace, project, how):
    """The training would be one of the new settings, and noted as one of the old."""
    ours = {"PYTHONPATH": f"{project}:{project / 'slurm'}"}  # this checkout's plugin, whichever is installed
    environ = {k: v for k, v in os.environ.items() if k != "HELIP_RESULTS"} | ours
    command = [Path(sys.executable).with_name("snakemake"), *how, "--", TRAINED]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=workspace.folder, env=environ, **told) as process:
        deadline = time.monotonic() + 300
        while not (workspace.folder / "results/smoke/logs/corpus/cc3m.log").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        edit(workspace)
        printed = process.communicate()[0]
    assert process.returncode != 0
    assert not (workspace.folder / TRAINED).exists()
    sentence = "smoke.yaml: the settings of train cc3m_clip seed 0 changed after snakemake began; start snakemake again"
    assert sentence in printed, printed[-4000:]
