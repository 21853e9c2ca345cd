"""Probes: the train split's first items read, and L-BFGS fits on made-up features of the set's classes at the architecture's width."""

import time

import numpy as np

from helip.evaluation import probe
from helip.rehearsal.jobs.evaluation import few_items
from helip.rehearsal.measured import MB, Point
from helip.rehearsal.request import Job

WIDTH = 1024  # features of the widest architecture here, ResNet-50
STRENGTHS = (1e-3, 1.0, 1e3)  # of the 45: fits of weak penalties take longest
FLOAT = 8


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds a train image for all 45 fits and the last, and says what memory the declared set will take."""
    point, data = Point(job.size), few_items(job, job.size)
    begun = time.monotonic()
    classes = len(data.open(None, "train").classes or ())
    point.start = time.monotonic() - begun
    rows = max(2 * classes, job.size)
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    features = rng.standard_normal((classes, WIDTH))[labels] + 3 * rng.standard_normal((rows, WIDTH))
    begun = time.monotonic()
    for strength in STRENGTHS:
        probe.fit(features.astype(np.float32), labels, strength)
    fits = (len(probe.STRENGTHS) + 1) / len(STRENGTHS)
    point.repetitions, point.units, point.bytes = [(time.monotonic() - begun) * fits / rows], float(rows), 10.0
    point.facts = {"classes": classes, "row_mb": (WIDTH + 3 * classes) * FLOAT / MB}
    point.notes.append(f"{len(STRENGTHS)} of {len(probe.STRENGTHS)} fits on {rows} made-up features")
    return point
