"""What is left to do for an answer, how long it will take and how much disk it needs, from what was measured of the start."""

from collections.abc import Iterator
from dataclasses import dataclass

from helip.own.start import StartFacts
from helip.stages import (
    Answer,
    BuildCorpus,
    BuildEvaluationSet,
    Encode,
    EncodeViews,
    Evaluate,
    Fingerprint,
    Interpolate,
    Mine,
    Select,
    Stage,
    Sweep,
    Train,
)  # fmt: skip
from helip.study import Study

BEGIN = 12.0  # seconds until a job has imported what it needs
LOOK = 0.002  # seconds to read and check one pair, or to fingerprint one image
COMPARED = 2e8  # pairs of pairs compared in a second by one core
IMAGE = 100_000  # bytes of a held-out image


@dataclass(frozen=True)
class Line:
    """The jobs of one kind: how many there are, how many are left, and what those take."""

    what: str
    jobs: int
    left: int
    seconds: float
    disk: float  # bytes


def plan(study: Study, start: StartFacts, pairs: int, held_out: int, cores: int) -> list[Line]:
    """Returns a line for each kind of job, in the order of the work. pairs: of training; held_out: images of validation, and of test."""
    by_kind: dict[str, list[Stage]] = {}
    for one in dict.fromkeys(_behind(Answer(study))):
        by_kind.setdefault(one.label, []).append(one)
    lines = []
    for what, all_of_it in by_kind.items():
        left = [one for one in all_of_it if not one.is_done]
        costs = [_cost(one, start, pairs, held_out, cores) for one in left]
        lines.append(Line(what, len(all_of_it), len(left), sum(c[0] for c in costs), sum(c[1] for c in costs)))
    return lines


def text(lines: list[Line]) -> str:
    """Returns the plan as a table for a terminal, with its sums."""
    rows = [f"{'what':16} {'jobs':>5} {'left':>5} {'minutes':>8} {'MB':>8}"]
    rows += [f"{one.what:16} {one.jobs:5} {one.left:5} {one.seconds / 60:8.1f} {one.disk / 1e6:8.0f}" for one in lines]
    jobs, left = sum(one.jobs for one in lines), sum(one.left for one in lines)
    rows.append(f"{'all':16} {jobs:5} {left:5} {sum(o.seconds for o in lines) / 60:8.1f} {sum(o.disk for o in lines) / 1e6:8.0f}")
    return "\n".join(rows)


def steps_of(study: Study, run: str, pairs: int) -> int:
    """Returns the optimiser steps of a training."""
    recipe = study.run(run).recipe
    return recipe.steps or max(1, round((recipe.epochs or 0) * pairs / recipe.batch_size))


def _behind(one: Stage) -> Iterator[Stage]:
    for need in (*one.needs(), *one.awaits()):
        yield from _behind(need)
    yield one


def _cost(one: Stage, start: StartFacts, pairs: int, held_out: int, cores: int) -> tuple[float, float]:
    """(seconds, bytes) of one job."""
    both, width, images = start.encode_image + start.encode_text, 4.0 * start.config["embed_dim"], 2 * held_out + _other_images(one.study)
    match one:
        case BuildCorpus() | Fingerprint():
            return BEGIN + LOOK * pairs, 200.0 * pairs
        case BuildEvaluationSet():
            return BEGIN, IMAGE * held_out
        case Encode() | EncodeViews() | Select():
            return BEGIN + both * pairs, 4 * width * pairs
        case Mine():
            return BEGIN + pairs**2 / COMPARED / cores, 600.0 * pairs
        case Train() if one.is_published:
            return BEGIN, start.weights_bytes
        case Train():
            recipe = one.study.run(one.run).recipe
            return BEGIN + steps_of(one.study, one.run, pairs) * recipe.batch_size * start.train_pair, 3.0 * start.weights_bytes
        case Interpolate():
            return 3.0, start.weights_bytes
        case Sweep():
            return BEGIN + both * 4 * held_out, 0.0
        case Evaluate():
            return BEGIN + both * images, width * images
    return 3.0, 1e6


def _other_images(study: Study) -> int:
    """Images of evaluation sets that were named; a thousand each where nobody has counted them yet."""
    named = [name for name in study.declaration.evaluation if name not in ("test", "validation")]
    return sum(BuildEvaluationSet(study, name).images()[0] or 1000 for name in named)
