"""Mining of made-up features in the declared shape: two numbers of pairs give the time of billions of comparisons and the memory."""

import time

import numpy as np

from helip.config import MiningSpec
from helip.mining import mine
from helip.rehearsal.measured import Point
from helip.rehearsal.request import Job
from helip.stages import Mine, MineShard
from helip.study.resolve import encoders_of

WIDTH = 768  # of features whose encoder could not be rehearsed
ALIKE = 0.55  # mean cosine of two made-up rows: about as many pass a tau of 0.5 as the paper's encoders let pass


def made_up(count: int, width: int, seed: int) -> np.ndarray:
    """Returns float16 [count, width] unit rows whose cosines scatter about ALIKE."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(width, np.float32)
    rows = rng.standard_normal((count, width), np.float32) / np.sqrt(width)
    rows = np.sqrt(1 - ALIKE) * rows + np.sqrt(ALIKE) * common / np.linalg.norm(common)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds for a billion compared pairs, and 8 bytes a kept neighbour."""
    one = job.kind.one.whole if isinstance(job.kind.one, MineShard) else job.kind.one
    assert isinstance(one, Mine)
    pairs, point = one.config(), Point(job.size)
    spec = MiningSpec.model_validate({name: getattr(pairs, name) for name in MiningSpec.model_fields})
    if spec.pool:
        spec = spec.model_copy(update={"pool": min(spec.pool, job.size // 2)})
    spec = spec.model_copy(update={"k": min(spec.k, (spec.pool or job.size) // 4)})
    widths, names = job.facts.get("width", {}), encoders_of(pairs)
    features = [made_up(job.size, widths.get(name, WIDTH), n) for n, name in enumerate(names)]
    image = None if spec.method == "text" else features[0]
    text = None if spec.method == "image" else features[-1]
    point.notes.append("made-up features")
    for _ in range(2):
        begun = time.monotonic()
        mined = mine(image, text, spec, memory="2GiB", device=job.device)
        compared = job.size * min(spec.pool or job.size, job.size) / 1e9
        point.repetitions.append((time.monotonic() - begun) / compared)
    point.units, point.bytes = compared, 8.0
    point.facts = {"noise_share": float(mined.noise.mean())}
    return point
