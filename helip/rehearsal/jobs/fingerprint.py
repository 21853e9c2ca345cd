"""Fingerprints of the sample corpus, for the contamination report."""

import time

from helip.contamination.fingerprints import fingerprint_corpus
from helip.data.corpus import Corpus
from helip.rehearsal.measured import Point
from helip.rehearsal.request import Job


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds an image, of the threads that the stage asks for, and 16 bytes."""
    corpus, point = Corpus.open(job.sample), Point(job.size)
    begun = time.monotonic()
    fingerprint_corpus(corpus, job.folder / "fingerprints")  # type: ignore[arg-type]
    point.repetitions, point.units, point.bytes = [(time.monotonic() - begun) / len(corpus)], float(len(corpus)), 16.0
    return point
