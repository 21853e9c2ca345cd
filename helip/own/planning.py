"""What is left to do for an answer, how long it will take and how much disk it needs, from what was measured of the start."""

import functools
from dataclasses import dataclass
from pathlib import Path

from helip.config import FrozenModel, HeldOutSet, WdsSet
from helip.data.tars import samples
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
    behind,
    left_of,
)  # fmt: skip
from helip.study import Study

COLD, WARM = 8.0, 1.0  # seconds until a job has imported what it needs: in a process of its own, and forked from one that has
LOOK = 0.002  # seconds to read and check one pair, or to fingerprint one image
COMPARED = 2e8  # pairs of pairs compared in a second by one core
HEADS = 5e9  # multiplications in a second of a head's training
UNKNOWN = 1000  # images of a set that nobody has counted yet
IMAGE = 20_000  # bytes of a held-out image


@dataclass(frozen=True)
class Sizes:
    """How much is trained and evaluated on, and how a job begins."""

    pairs: int  # of training
    held_out: int  # images of validation, and of test
    captions: float  # of an image
    begin: float = WARM  # seconds


@dataclass(frozen=True)
class Line:
    """The jobs of one kind: how many there are, how many are left, and what those take."""

    what: str
    jobs: int
    left: int
    seconds: float
    disk: float  # bytes


def plan(study: Study, start: StartFacts, sizes: Sizes, cores: int) -> list[Line]:
    """Returns a line for each kind of job, in the order of the work."""
    by_kind: dict[str, list[Stage]] = {}
    to_make = left_of([Answer(study)])
    for one in behind([Answer(study)]):
        by_kind.setdefault(one.label, []).append(one)
    lines, costs_of = [], _Costs(study, start, sizes, cores)
    for what, all_of_it in by_kind.items():
        left = [one for one in all_of_it if one in to_make]
        costs = [costs_of(one) for one in left]
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


class _Costs:
    """(seconds, bytes) of a job."""

    def __init__(self, study: Study, start: StartFacts, sizes: Sizes, cores: int):
        self._study, self._start, self._sizes, self._cores = study, start, sizes, cores
        self._frozen = isinstance(study.model(study.run("start").model), FrozenModel)
        self._width = start.config["embed_dim"]
        self._pair, self._model = start.train_pair, start.weights_bytes
        if self._frozen and not start.is_frozen:  # residual heads over its towers, which are D x 2D x D each
            self._pair, self._model = 6 * 8 * self._width**2 / HEADS, 4 * 8 * self._width**2

    def __call__(self, one: Stage) -> tuple[float, float]:
        start, (pairs, begin) = self._start, (self._sizes.pairs, self._sizes.begin)
        both = start.encode_image + start.encode_text
        match one:
            case BuildCorpus() | Fingerprint():
                return begin + LOOK * pairs, IMAGE * pairs if isinstance(one, BuildCorpus) and one.corpus == "whole" else 200.0 * pairs
            case BuildEvaluationSet():
                return begin + LOOK * self._images(one.set), IMAGE * self._images(one.set)
            case EncodeViews():
                return begin + pairs * (2 * start.encode_image + self._sizes.captions * start.encode_text), pairs * self._views()
            case Encode():
                return begin + (0 if self._frozen else both / 2 * pairs), 2.0 * self._width * pairs
            case Select():
                return begin + (0 if self._frozen else both * pairs), 8.0 * self._width * pairs
            case Mine():
                return begin + pairs**2 / COMPARED / self._cores, 600.0 * pairs
            case Train() if one.is_published:
                return begin, float(self._model)
            case Train():
                recipe = one.study.run(one.run).recipe
                return begin + steps_of(one.study, one.run, pairs) * recipe.batch_size * self._pair, 4.0 * self._model  # with its state
            case Interpolate():
                return begin, float(self._model)
            case Sweep():
                return begin + (0 if self._frozen else 4 * self._evaluated("validation")), 0.0
            case Evaluate():
                return begin + self._evaluation(one.run), 0.0 if self._frozen else 4.0 * self._width * self._all_images()
        return begin, 1e6

    def _views(self) -> float:
        """Bytes of what the trunks say of a pair: two views, and its captions."""
        parts = self._start.config.get("frozen") or {}
        image, text = (parts.get(f"{side}_trunk", {}).get("dim", self._width) for side in ("image", "text"))
        return 4.0 * (2 * image + self._sizes.captions * text)

    def _evaluation(self, run: str) -> float:
        """Seconds for all sets. What frozen trunks say of a set is kept for all models: the first one pays."""
        if self._frozen and run != "start":
            return 0.0
        return sum(self._evaluated(name) for name in self._study.declaration.evaluation)

    def _evaluated(self, name: str) -> float:
        captions = self._sizes.captions if self._study.evaluation_set(name).task == "retrieval" else 0.0
        return self._images(name) * (self._start.encode_image + captions * self._start.encode_text)

    def _images(self, name: str) -> int:
        if isinstance(self._study.evaluation_set(name), HeldOutSet):
            return self._sizes.held_out
        declared = self._study.evaluation_set(name)
        counted = _counted(Path(declared.path) / declared.split) if isinstance(declared, WdsSet) else 0
        return BuildEvaluationSet(self._study, name).images()[0] or counted or UNKNOWN

    def _all_images(self) -> int:
        return sum(map(self._images, self._study.declaration.evaluation))


@functools.cache
def _counted(folder: Path) -> int:
    """The samples of a set's shards, by their names alone."""
    return sum(1 for tar in folder.glob("*.tar") for _ in samples(tar, frozenset()))
