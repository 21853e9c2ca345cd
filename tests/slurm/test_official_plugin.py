"""The rules plan their jobs under Snakemake's own slurm plugin too, where that is installed."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_rules_plan_under_the_official_plugin(project):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install snakemake-executor-plugin-slurm")
    command = [Path(sys.executable).with_name("snakemake"), "-n", "--executor", "slurm", "--jobs", "2", "results/smoke/table1.csv"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
