"""A Slurm of one machine for the whole session, and workflows to run on it."""

import os

import pytest
from cluster import Slurm, why_not
from workflows import Workflow


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    cluster = Slurm(tmp_path_factory.mktemp("slurm")).start()
    os.environ["SLURM_CONF"] = cluster.environ["SLURM_CONF"]
    yield cluster
    cluster.stop()
    del os.environ["SLURM_CONF"]


@pytest.fixture
def workflow(tmp_path):
    """workflow(snakefile, environ) -> Workflow in a folder with a space and a quote in its name."""
    made = []

    def make(snakefile: str, environ: dict[str, str] | None = None) -> Workflow:
        made.append(Workflow(tmp_path / f"it's a folder {len(made)}", snakefile, environ or dict(os.environ)))
        return made[-1]

    yield make
    for one in made:
        if one.process and one.process.poll() is None:
            one.process.kill()
            one.process.wait()
