"""helip doctor: kernels for GPUs, findings with remedies, exit codes. Runs anywhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helip import doctor
from helip.cli import main

PYPI_2_10 = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.mark.parametrize(
    ("capability", "built", "expected"),
    [
        ((7, 0), PYPI_2_10, True),  # V100
        ((8, 9), PYPI_2_10, True),  # Ada runs sm_86
        ((9, 0), PYPI_2_10, True),  # Hopper
        ((6, 1), PYPI_2_10, False),  # Pascal
        ((7, 0), ["sm_75", "sm_80", "sm_86", "sm_90"], False),  # torch 2.11 on a V100
        ((9, 0), ["sm_70", "sm_80"], False),  # faiss-gpu's build: machine code of another major version does not run
        ((9, 0), ["sm_70", "compute_80"], True),  # PTX is compiled for newer GPUs
        ((7, 0), ["compute_80"], False),
        ((9, 0), ["sm_90a"], True),
        ((10, 3), ["sm_100a"], False),
        ((10, 3), ["sm_100"], True),
    ],
)
def test_kernels_for_a_gpu(capability, built, expected):
    assert doctor.has_kernels(capability, built) is expected


def test_gpu_without_kernels_is_a_problem_and_a_v100_none():
    v100 = doctor.gpu_finding(0, "Tesla V100", (7, 0), PYPI_2_10, (30 * 2**30, 32 * 2**30))
    assert v100.ok
    assert "sm_70, 30 of 32 GiB free, precision fp16 with a gradient scaler" in v100.result
    old = doctor.gpu_finding(1, "P100", (6, 0), PYPI_2_10, (1, 1))
    assert not old.ok
    assert "torch has no kernels for it" in old.result


def test_installed_torch_serves_v100():
    torch = pytest.importorskip("torch")
    built = doctor.built_for(torch)
    if not built:
        pytest.skip("a CPU-only torch is installed")
    assert doctor.has_kernels((7, 0), built)


@pytest.mark.parametrize(
    ("environ", "driver", "ok", "result"),
    [
        ({}, False, True, "none: training and mining run on the CPU"),
        ({"CUDA_VISIBLE_DEVICES": ""}, True, True, "asked for none"),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, False, True, "none: training"),
        ({}, True, False, "there is a driver, but torch (CUDA 12.8) finds no GPU"),
        (
            {"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"},
            False,
            False,
            "given GPU 2, 3 (SLURM_JOB_GPUS), but torch (CUDA 12.8) finds",
        ),
        ({"SLURM_GPUS_ON_NODE": "2"}, False, False, "given GPU 0, 1 (SLURM_GPUS_ON_NODE)"),
        ({"CUDA_VISIBLE_DEVICES": "0"}, True, False, "given GPU 0 (CUDA_VISIBLE_DEVICES)"),
    ],
)
def test_gpu_given_that_torch_cannot_see_is_a_problem(tmp_path, environ, driver, ok, result):
    version = tmp_path / "version"
    if driver:
        version.touch()
    finding = doctor.no_gpu("12.8", environ, version)
    assert finding.ok is ok
    assert result in finding.result
    assert ("container" in finding.remedy) is (not ok and not driver)
    assert ("update the driver" in finding.remedy) is (not ok and driver)


def test_fewer_gpus_than_given_are_a_problem():
    given = {"SLURM_JOB_GPUS": "0,1,2,3"}
    assert doctor.fewer_gpus(4, given) is None and doctor.fewer_gpus(8, {}) is None
    assert doctor.fewer_gpus(3, given).result == "this job was given 4 (SLURM_JOB_GPUS: 0, 1, 2, 3), and torch sees 3"


def test_folder_that_is_not_there_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("HELIP_DATA", str(tmp_path / "gone"))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    findings = {f.subject: f for f in doctor.data_findings()}
    assert not findings["HELIP_DATA"].ok
    assert "no such folder" in findings["HELIP_DATA"].result
    assert findings["HF_HOME"].ok


def test_every_variable_that_a_study_names_is_looked_at(project):
    named = {v for file in (project / "experiments/studies").glob("*.yaml") for v in re.findall(r"\$(\w+)", file.read_text())}
    assert "HELIP_SETS" in named and named <= doctor.FOLDERS.keys()


def test_full_disk_and_little_memory_are_problems(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "LEAST_DISK_GB", 10**6)
    monkeypatch.setattr(doctor, "LEAST_MEMORY_GB", 10**6)
    findings = {f.subject: f for f in doctor.room_findings(tmp_path / "not/yet/there")}
    assert not findings["disk for results"].ok
    assert str(tmp_path) in findings["disk for results"].result and "link to a larger disk" in findings["disk for results"].remedy
    assert not findings["memory"].ok


def slurm(monkeypatch, tmp_path: Path, **programs: str) -> dict[str, doctor.Finding]:
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return {f.subject: f for f in doctor.slurm_findings()}


def test_no_slurm_is_no_problem(monkeypatch, tmp_path):
    assert slurm(monkeypatch, tmp_path)["Slurm"].ok


def test_slurm_that_does_not_answer_is_a_problem(monkeypatch, tmp_path):
    refused = "echo Unable to contact slurm controller >&2; exit 1"
    findings = slurm(monkeypatch, tmp_path, sbatch="", sinfo="echo slurm 22.05", squeue=refused)
    assert not findings["Slurm"].ok
    assert "Unable to contact" in findings["Slurm"].result


def test_cluster_without_accounting_is_no_problem(monkeypatch, tmp_path):
    refused = "echo slurm_load_jobs error: Invalid job id specified >&2; exit 1"
    disabled = "echo storage is disabled >&2; exit 1"
    findings = slurm(monkeypatch, tmp_path, sbatch="", sinfo="echo slurm 22.05", squeue=refused, sacct=disabled)
    assert (findings["Slurm"].ok, findings["sacct"].ok) == (True, True)
    assert "storage is disabled" in findings["sacct"].result


@pytest.mark.parametrize(("broken", "code"), [(False, 0), (True, 1)])
def test_exit_code_says_whether_there_is_a_problem(monkeypatch, tmp_path, capsys, broken, code):
    monkeypatch.setattr(doctor, "slurm_findings", lambda: [doctor.Finding("Slurm", "broken", "mend it")] if broken else [])
    monkeypatch.setattr(doctor, "LEAST_DISK_GB", 0)
    monkeypatch.delenv("HELIP_DATA", raising=False)
    assert main(["doctor", "--results", str(tmp_path), "--out", str(tmp_path / "out")]) == code
    output = capsys.readouterr().out
    assert (tmp_path / "out").read_text() == output
    assert ("PROBLEM  Slurm: broken\n         -> mend it" in output) is broken
    assert output.splitlines()[-1] == ("1 problem" if broken else "0 problems")


def test_launcher_and_leases_start_without_torch():
    code = "import sys, helip.launch, helip.gpus, helip.cli.graph; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=True)


def disk(results: Path) -> doctor.Finding:
    return next(finding for finding in doctor.room_findings(results) if finding.subject == "disk for results")


def test_results_that_cannot_be_written_are_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "access", lambda place, mode: Path(place) != tmp_path)  # root may write anywhere
    finding = disk(tmp_path / "results")
    assert (finding.ok, finding.result) == (False, f"{tmp_path} cannot be written to")


@pytest.mark.parametrize("inside", ["results", "disk/results"])
def test_a_link_to_a_disk_that_is_not_mounted_is_a_problem(monkeypatch, tmp_path, inside):
    """Nothing can be made behind it, whatever room the disk has on which the link itself lies."""
    link = tmp_path / inside.partition("/")[0]
    link.symlink_to(tmp_path / "nowhere/disk")
    monkeypatch.setattr(doctor, "LEAST_DISK_GB", 0)
    finding = disk(tmp_path / inside)
    assert not finding.ok and finding.result == f"{link} leads to {tmp_path / 'nowhere/disk'}, which is not there"
    (tmp_path / "nowhere/disk").mkdir(parents=True)
    assert disk(tmp_path / inside).ok
