"""The plugin without a Slurm (submitit's local executor), and Snakemake's own executor with the local profile."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from snakemake.common.tests import TestWorkflowsLocalStorageBase
from snakemake_executor_plugin_submitit import ExecutorSettings
from workflows import HERE, PROFILE, until

LOCAL = ("--submitit-cluster", "local")


class TestSnakemakesOwnSuite(TestWorkflowsLocalStorageBase):
    __test__ = True

    def get_executor(self) -> str:
        return "submitit"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings(cluster="local")

    @pytest.fixture(autouse=True)
    def _stay(self, monkeypatch):
        monkeypatch.chdir(Path.cwd())  # Snakemake changes the working folder and does not come back


def test_failure_is_reported_with_the_end_of_the_log(workflow):
    flow = workflow("events.smk")
    assert flow.run("failing.out", *LOCAL) == 1
    told = flow.printed[flow.printed.index("rule failing: job") :]
    assert "last words: 42" in told[: told.index("--- rule failing\n")]


def test_concurrent_jobs_see_different_gpus(workflow):
    flow = workflow("events.smk", {**os.environ, "HELIP_GPUS": "4,7"})
    assert flow.run("first_gpu.out", "second_gpu.out", *LOCAL) == 0, flow.printed
    assert {flow.read("first_gpu.out").strip(), flow.read("second_gpu.out").strip()} == {"4", "7"}


def test_cores_of_the_login_node_do_not_limit_job_threads(workflow):
    flow = workflow("events.smk")
    (flow.folder / "profiles/default").mkdir(parents=True)
    (flow.folder / "profiles/default/config.yaml").write_text("cores: 1\n")  # as the project's own does for bare runs
    assert flow.run("threads.out", *LOCAL) == 0, flow.printed
    assert flow.read("threads.out").split() == ["6", "6"]


def test_a_rule_of_the_site_that_is_not_there_is_a_warning(workflow):
    flow = workflow("events.smk")
    (flow.folder / "slurm").mkdir()
    (flow.folder / "slurm/site.yaml").write_text("rules:\n  thread: {runtime: 7}\n")
    assert flow.run("threads.out", *LOCAL) == 0, flow.printed
    assert "slurm/site.yaml: rules -> thread: this workflow has no such rule; did you mean 'threads'?" in flow.printed


def test_killed_job_leaves_nothing_running_and_is_reported(workflow):
    flow = workflow("events.smk").start("lost.out", *LOCAL)
    until((flow.folder / "lost.state").exists, 600, "the job to run")
    mine = [p for p in processes() if f"{flow.folder}/.snakemake/submitit/lost" in p[1] and "submitit.core._submit" in p[1]]
    os.kill(mine[0][0], 9)
    assert flow.finish(1800) == 1
    assert "rule lost: job" in flow.printed
    until(lambda: not [p for p, line in processes() if "training.py lost" in line and cwd(p) == flow.folder], 600, "its end")


def cwd(process: int) -> Path | None:
    with suppress(OSError):
        return Path(f"/proc/{process}/cwd").resolve()
    return None


def processes() -> list[tuple[int, str]]:
    running = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            running.append((int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")))
        except OSError:
            continue
    return running


def test_time_limit_is_survived_as_often_as_declared_and_no_more(workflow):
    """The jobs are warned half a minute before the end of their one minute."""
    often, never = workflow("events.smk"), workflow("events.smk")
    often.start("limit.out", *LOCAL, "--set-resources", "limit:runtime=1")
    never.start("limit.out", *LOCAL, "--set-resources", "limit:runtime=1", "limit:requeues=0")
    assert often.finish(1800) == 0, often.printed
    assert often.read("limit.out").count("from ") >= 2
    assert never.finish(1800) == 1
    assert re.search(r"rule limit: job \d+ failed: .*timed-out too many times", never.printed)


def test_local_profile_runs_two_jobs_at_once_with_a_gpu_each(tmp_path):
    """Plain Snakemake: rules that start with helip.launch share the machine's GPUs."""
    (tmp_path / "Snakefile").write_text(
        "rule all:\n  input: expand('{n}.out', n=range(2))\n"
        "rule gpu:\n  output: '{n}.out'\n  resources: gpu=1\n"
        f'  shell: "{sys.executable} -m helip.launch --gpus {{resources.gpu}}"\n'
        f"    \" {sys.executable} '{HERE}/meet.py' {{wildcards.n}} {{output}}\"\n"
    )
    environ = {**os.environ, "HELIP_GPUS": "4,7", "HELIP_LEASES": str(tmp_path / "leases"), "PYTHONPATH": str(PROFILE.parent)}
    command = [sys.executable, "-m", "snakemake", "--profile", str(PROFILE.parent / "local"), "--cores", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    assert {(tmp_path / f"{n}.out").read_text() for n in range(2)} == {"4 threads 1", "7 threads 1"}
