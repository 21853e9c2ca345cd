"""Evaluation: a hundred items of a set by a model of the architecture that most evaluations are of."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from helip.config import GeneratedSet
from helip.data.corpus import Corpus
from helip.evaluation.building import build_evaluation_set
from helip.evaluation.extraction import Extractor
from helip.evaluation.model import load
from helip.evaluation.run import result_of
from helip.evaluation.sets import EvaluationSet, of_declaration
from helip.rehearsal.jobs.few import model_folder
from helip.rehearsal.measured import Point
from helip.rehearsal.request import Job
from helip.study import Study


class First(torch.utils.data.Dataset):
    """The first items of a set, with its class names; where a CPU reads them, with one template."""

    def __init__(self, whole: Any, count: int, templates: int | None):
        self.items = [item for item, _ in zip(whole, range(count), strict=False)]
        self.classes, self.templates = getattr(whole, "classes", None), getattr(whole, "templates", None)
        if templates and self.templates:
            self.templates = self.templates[:templates]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]


@dataclass(frozen=True)
class FewItems(EvaluationSet):
    """An evaluation set of which the first items alone are read."""

    count: int = 100
    templates: int | None = None

    def open(self, transform: Callable | None, split: str) -> First:
        """Returns the first items of a split."""
        return First(super().open(transform, split), self.count, self.templates)

    @property
    def is_wds(self) -> bool:
        """Whether items are streamed: they are held in memory by now."""
        return False

    def digest(self, split: str) -> str:
        """Returns a word in place of a digest: nothing here is kept."""
        self._present(split)
        return f"rehearsal {self.name} {split}"


def few_items(job: Job, count: int) -> FewItems:
    """Returns the kind's set, cut; one that the study generates is generated here."""
    study, folder = job.kind.one.study, job.folder / "set"
    declared = study.evaluation_set(job.kind.set)
    if isinstance(declared, GeneratedSet):
        declared = declared.model_copy(update={"items": count, "train_items": min(declared.train_items, 2 * count)})
        build_evaluation_set(job.kind.set, declared, folder)
    whole = of_declaration(job.kind.set, declared, folder)
    return FewItems(
        whole.name, whole.task, whole.benchmark_name, whole.root, whole.test_split, whole.validation_split, count=count,
        templates=None if job.scale.on_gpu else 1,
    )  # fmt: skip


def usual_model(study: Study) -> str:
    """Returns the architecture of most runs that are evaluated."""
    return Counter(run.model for run in study.runs.values()).most_common(1)[0][0]


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds an image, reading included; the texts of classes and captions count to the start."""
    study, point = job.kind.one.study, Point(job.size)
    data = few_items(job, job.size)
    begun = time.monotonic()
    architecture = usual_model(study)
    folder = model_folder(study, architecture, Corpus.open(job.sample), job.folder.parent)
    extractor = Extractor(load(f"local-dir:{folder}", job.device), job.folder / "cache", 0)
    before = time.monotonic()
    images = len(extractor.images(data, data.test_split).images)
    read = time.monotonic() - before
    result_of(extractor, data, dict(study.tasks("evaluate"))[job.kind.set])  # the images' features are in the cache by now
    point.start = time.monotonic() - begun - read
    point.repetitions, point.units, point.bytes = [read / images], float(images), 10.0
    point.notes.append(f"{architecture}, random weights")
    if not job.scale.on_gpu and data.task == "classification":
        point.notes.append("one template")
    return point
