"""Fingerprints of a corpus, on several processes."""

import os
import signal
from pathlib import Path

import pytest

from helip.contamination.fingerprints import BLOCK, fingerprint_corpus
from helip.errors import HelipError


class Deadly:
    """A corpus whose images end whoever reads them."""

    folder, digest = Path("corpus"), "one"

    def __len__(self) -> int:
        return 2 * BLOCK

    def image_bytes(self, i: int) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_reported_instead_of_waited_for(tmp_path):
    with pytest.raises(HelipError, match="fingerprints of corpus: one of 2 worker processes was killed"):
        fingerprint_corpus(Deadly(), tmp_path / "out", workers=2)
    assert not (tmp_path / "out").exists()
