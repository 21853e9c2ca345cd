"""What all tests share: the project's root, and the real data where it is at hand."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def broken_pipes_are_errors():
    """A command run in this process lets a broken pipe end it, as a shell expects: a test's own server must outlive its clients."""
    yield
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


@pytest.fixture(scope="session")
def project() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def data_root() -> Path:
    """$HELIP_DATA, or shared/data beside the checkout; without either, tests of real data skip."""
    root = Path(os.environ.get("HELIP_DATA", ROOT.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data: HELIP_DATA is not set and {root.name} is not beside the checkout")
    return root


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A generated corpus of 1,500 pairs."""
    from helip.config import GeneratedCorpus
    from helip.data.build import build_corpus

    declaration = GeneratedCorpus(size=1500, mismatched=0.12, samples_per_shard=400)
    return build_corpus(declaration, tmp_path_factory.mktemp("world") / "corpus")


def pytest_collection_modifyitems(items):
    """The longest start first; `make test` keeps a file's tests on one worker, as their fixtures are."""
    items.sort(key=lambda item: (not _on_cluster(item), item.path.parent.name != "workflow"))


def _on_cluster(item) -> bool:
    return "slurm" in getattr(item, "fixturenames", ())
