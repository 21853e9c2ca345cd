"""A copy of the project's declarations in a temporary folder, and two studies built in such copies once for all tests."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PARTS = ("Snakefile", "rules", "experiments", "profiles", "slurm")


class Workspace:
    """A folder as a user has it after cloning; `snakemake` runs there as a user would type it."""

    def __init__(self, project: Path, folder: Path):
        self.folder = folder
        for part in PARTS:
            source = project / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)

    def snakemake(self, *arguments: str, check: bool = True, **env: str) -> subprocess.CompletedProcess:
        command = [Path(sys.executable).with_name("snakemake"), *arguments]
        environment = {k: v for k, v in os.environ.items() if k not in ("HELIP_RESULTS", "SNAKEMAKE_PROFILE")} | env
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        done.stdout += done.stderr
        assert not check or done.returncode == 0, done.stdout[-6000:]
        return done

    def planned(self, *targets: str, directory: str = ".") -> dict[str, int]:
        """Jobs by rule that a dry run would start in a folder; empty when there is nothing to do."""
        return jobs(self.snakemake("-n", "--quiet", "reason", "--directory", directory, "--", *targets).stdout)


def jobs(output: str) -> dict[str, int]:
    """Jobs by rule, of what Snakemake says before it starts them."""
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output.partition("Job stats:")[2], re.MULTILINE)}
    counts.pop("total", None)
    return counts


@pytest.fixture
def workspace(project, tmp_path) -> Workspace:
    return Workspace(project, tmp_path)


@pytest.fixture(scope="session")
def smoke(project, tmp_path_factory) -> Workspace:
    """The smoke study's table 1 with every job behind it, built for real, once."""
    built = Workspace(project, tmp_path_factory.mktemp("smoke study"))  # a folder name with a space in it, as users have
    built.snakemake("results/smoke/table1.csv", "results/smoke/tracking/table1.json")
    return built


@pytest.fixture(scope="session")
def graph(project, tmp_path_factory) -> Workspace:
    """A study with every kind of run that the miniature study has (graph.yaml): table 11, and then the report, which shows it."""
    built = Workspace(project, tmp_path_factory.mktemp("whole graph"))
    shutil.copy(Path(__file__).with_name("graph.yaml"), built.folder / "experiments/studies")
    built.ran = [jobs(built.snakemake(f"results/graph/{target}").stdout) for target in ("table11.csv", "report.html")]
    return built
