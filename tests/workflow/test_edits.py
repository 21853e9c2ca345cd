"""A study that is edited while Snakemake runs, and one whose results Snakemake has no notes of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helip.stages import Train, behind
from helip.study import Study

TRAINED = "results/smoke/models/cc3m_clip/seed0/train.json"
PLUGIN = ("--executor", "submitit", "--submitit-cluster", "local", "--seconds-between-status-checks", "1", "--jobs", "2")


STUDY = "experiments/studies/smoke.yaml"
WAS, IS = "learning_rate: 1.0e-3", "learning_rate: 2.0e-3"
ONCE_BEGUN = f"""
onstart:
    Path("{STUDY}").write_text(Path("{STUDY}").read_text().replace("{WAS}", "{IS}"))
"""  # when the graph is built, before the first job


def edit(workspace) -> None:
    file = workspace.folder / STUDY
    text = file.read_text()
    file.write_text(text.replace(WAS, IS))
    assert file.read_text() != text


@pytest.mark.parametrize("how", [(), PLUGIN], ids=["here", "submitted"])
def test_an_edit_while_snakemake_runs_is_refused(workspace, project, how):
    """The training would be one of the new settings, and noted as one of the old."""
    ours = {"PYTHONPATH": f"{project}:{project / 'slurm'}"}  # this checkout's plugin, whichever is installed
    environ = {k: v for k, v in os.environ.items() if k != "HELIP_RESULTS"} | ours
    command = [Path(sys.executable).with_name("snakemake"), *how, "--", TRAINED]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with open(workspace.folder / "Snakefile", "a") as snakefile:
        snakefile.write(ONCE_BEGUN)
    done = subprocess.run(command, cwd=workspace.folder, env=environ, check=False, **told)
    assert done.returncode != 0 and "2.0e-3" in (workspace.folder / STUDY).read_text()
    assert not (workspace.folder / TRAINED).exists()
    sentence = "smoke.yaml: the settings of train cc3m_clip seed 0 changed after snakemake began; start snakemake again"
    assert sentence in done.stdout, done.stdout[-4000:]


def test_results_without_notes_are_told_by_their_own_digest(workspace):
    """A copy of a tree brings no .snakemake: Snakemake then takes any training for one of today's settings."""
    study = Study("smoke", workspace.folder / "experiments", workspace.folder / "results")
    one = Train(study, "cc3m_clip", "0")
    for second, path in enumerate(path for each in behind([one]) for path in each.outputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"digest": one.digest}) if path.name == "train.json" else "{}")
        os.utime(path, (1e9 + second, 1e9 + second))
    assert workspace.planned(TRAINED) == {}
    before = one.digest
    edit(workspace)
    done = workspace.snakemake("-n", "--", TRAINED, check=False)
    assert done.returncode != 0 and "Traceback (most recent call last)" not in done.stdout
    sentence = "cc3m_clip/seed0/open_clip_model.safetensors: was made with other settings than experiments/studies/smoke.yaml has today"
    assert sentence in done.stdout and f"(digest {before}, not " in done.stdout and "remove this file to make it again" in done.stdout
