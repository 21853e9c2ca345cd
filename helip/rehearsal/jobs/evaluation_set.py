"""Evaluation sets where they lie: read and counted as the stage does."""

import time

from helip.download.check import compare
from helip.evaluation.building import build_evaluation_set
from helip.rehearsal.measured import Point
from helip.rehearsal.request import Job
from helip.stages import BuildEvaluationSet


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds an image of the whole set: its layout cannot be read in part."""
    assert isinstance(job.kind.one, BuildEvaluationSet)
    declared, point, begun = job.kind.one.config(), Point(job.size), time.monotonic()
    built = build_evaluation_set(job.kind.set, declared, job.folder / "set")
    images = built["items"] + built.get("train_items", 0)
    point.repetitions, point.units = [(time.monotonic() - begun) / images], float(images)
    if expected := getattr(declared, "expected", None):
        words = expected.model_copy(update={"items": None, "train_items": None})
        compare(job.kind.set, words, built)
        if expected.items not in (None, built["items"]):
            point.notes.append(f"{built['items']} items in place of {expected.items}")
    return point
