"""Selecting and filtering by a checkpoint: both encode the corpus by both of its towers, which is all of their time."""

import time

from helip.config import OpenClipEncoder
from helip.data.corpus import Corpus
from helip.encoders import load
from helip.encoders.cache import encode
from helip.gpus import loader_workers
from helip.rehearsal.jobs.few import Few, model_folder
from helip.rehearsal.measured import Point
from helip.rehearsal.request import Job
from helip.stages import Filter, Select


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds a pair, both towers together, and the bytes of its two rows of features."""
    assert isinstance(job.kind.one, Select | Filter)
    study, point = job.kind.one.study, Point(job.size)
    corpus, begun = Few(Corpus.open(job.sample), job.size), time.monotonic()
    folder = model_folder(study, study.run(job.kind.one.run).model, Corpus.open(job.sample), job.folder.parent)
    declared = [OpenClipEncoder(modality=modality, model=f"local-dir:{folder}") for modality in ("image", "text")]
    towers = [load(one, device=job.device) for one in declared]
    point.start = time.monotonic() - begun
    begun = time.monotonic()
    for one, tower in zip(declared, towers, strict=True):
        encode(one, tower, corpus, job.folder / tower.modality, workers=loader_workers(None, job.device), dtype="float32")
    point.repetitions, point.units = [(time.monotonic() - begun) / job.size], float(job.size)
    point.bytes = 8.0 if job.kind.stage == "filter" else 4.0 * sum(tower.dim for tower in towers) + 5  # a score and a mark of each pair
    point.notes.append("random weights")
    return point
