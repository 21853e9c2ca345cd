"""Encoding: weights fetched or found missing, two batches encoded, features written."""

import time

from helip import encoders
from helip.config import Encoder as Declaration
from helip.config import RunEncoder, SentenceEncoder
from helip.data.corpus import Corpus
from helip.encoders import cache
from helip.encoders.encoder import Encoder
from helip.errors import HelipError
from helip.gpus import loader_workers
from helip.rehearsal.jobs.few import Few, model_folder
from helip.rehearsal.measured import Point
from helip.rehearsal.request import Job
from helip.stages import Encode

BATCH = 64  # as the stage encodes


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds a pair, bytes a row, and the width of the features, which mining asks for."""
    assert isinstance(job.kind.one, Encode)
    declared, point = job.kind.one.config(), Point(job.size)
    corpus = Few(Corpus.open(job.sample), job.size)
    begun = time.monotonic()
    encoder = _encoder(job, declared, point)
    point.start = time.monotonic() - begun
    batch = min(BATCH, max(1, job.size // 2))
    for repetition in range(2):
        before = time.monotonic()
        cache.encode(
            declared, encoder, corpus, job.folder / f"features{repetition}", batch_size=batch, workers=loader_workers(None, job.device)
        )
        point.repetitions.append((time.monotonic() - before) / job.size)
    point.units, point.bytes = 2.0 * job.size, encoder.dim * 2.0
    point.facts = {"width": {job.kind.name: encoder.dim}}
    return point


def _encoder(job: Job, declared: Declaration, point: Point) -> Encoder:
    """The encoder; with random weights, and the failure noted, where its own cannot be had."""
    if isinstance(declared, RunEncoder):
        study = job.kind.one.study
        folder = model_folder(study, study.run(declared.run).model, Corpus.open(job.sample), job.folder.parent)
        point.notes.append("the tower of a model that is not trained yet: random weights")
        return encoders.load(declared, folder, job.device)
    try:
        return encoders.load(declared, None, job.device)
    except HelipError as error:
        point.failure = str(error)
        point.notes.append("random weights")
    if isinstance(declared, SentenceEncoder):
        from helip.rehearsal.jobs.sentences import untrained

        return untrained(declared, job.device)
    return encoders.load(declared, None, job.device, pretrained=False)
