"""The stages `evaluate` and `probe`: one checkpoint of a study on all its evaluation sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from helip.errors import HelipError
from helip.io import read_json
from helip.stages.base import How, Stage, Work
from helip.stages.evaluation_set import BuildEvaluationSet
from helip.stages.train import model_of
from helip.study import Study, seed_number, total

PATH = "metrics/{run}/seed{seed}"


def metrics_file(study: Study, run: str, seed: str, set_name: str, task: str) -> Path:
    """Returns the metrics file of a checkpoint on one set: `task` is zeroshot, retrieval or probe."""
    return study.root / PATH.format(run=run, seed=seed) / f"{set_name}.{task}.json"


@dataclass(frozen=True)
class Evaluate(Stage):
    """Zero-shot metrics of a checkpoint. One job starts once and reads features once for all sets, so its files depend on the study."""

    run: str
    seed: str

    name = "evaluate"
    revision = 2
    path = PATH
    takes_gpu = True
    heeds = ("workers",)
    counted: ClassVar[int] = 0  # which of (test images, training images) is the work

    @property
    def title(self) -> str:
        return f"{self.run} seed {self.seed}"

    @classmethod
    def files_of(cls, study: Study) -> tuple[str, ...]:
        """Returns the metrics files of every checkpoint of a study."""
        return tuple(f"{set_name}.{task}.json" for set_name, task in study.tasks(cls.name))

    @property
    def files(self) -> tuple[str, ...]:
        """A metrics file for each set and task of the study."""
        return self.files_of(self.study)

    def config(self) -> object:
        if not self.files:
            raise HelipError(f"{self.study.file}: evaluation: no set asks for the stage `{self.name}`")
        return [list(task) for task in self.study.tasks(self.name)]

    def sets(self) -> list[BuildEvaluationSet]:
        """Returns the evaluation set of each file, in the order of `files`."""
        return [BuildEvaluationSet(self.study, set_name) for set_name, _ in self.study.tasks(self.name)]

    def needs(self) -> list[Stage]:
        return [model_of(self.study, self.run, self.seed), *self.sets()]

    def _in_turn(self) -> list[tuple[BuildEvaluationSet, tuple[str, str]]]:
        """The sets and tasks from another one on for each seed: jobs that start together do not wait for each other's features."""
        each = list(zip(self.sets(), self.study.tasks(self.name), strict=True))
        first = seed_number(self.seed) * max(1, len(each) // 2) % len(each)
        return each[first:] + each[:first]

    def work(self) -> Work:
        """Units and items are images: test images, or for a probe those it trains on."""
        images = total(one.images()[self.counted] for one in self.sets())
        return Work(images, images, (self.name,))

    def make(self, how: How) -> str:
        from helip.evaluation.extraction import Extractor
        from helip.evaluation.model import load
        from helip.evaluation.run import result_of, write_metrics
        from helip.evaluation.sets import of_declaration
        from helip.models.network import offline_if_unreachable

        offline_if_unreachable()
        trained = model_of(self.study, self.run, self.seed).folder
        extractor = Extractor(load(f"local-dir:{trained}"), self.study.root / "cache", how.workers or 0)
        facts = {"study": self.study.name, "run": self.run, "seed": self.seed}
        facts["recovered_share"] = read_json(trained / "train.json").get("recovered_share")  # of the corpus it was trained on
        for one, (set_name, task) in self._in_turn():
            data = of_declaration(set_name, one.config(), one.folder)
            path = metrics_file(self.study, self.run, self.seed, set_name, task)
            write_metrics(path, facts | {"set": set_name, "task": task}, result_of(extractor, data, task), extractor, one.config())
            print(f"{path}: {', '.join(f'{name} {value:.2f}' for name, value in read_json(path)['metrics'].items())}")
        return f"metrics of {len(self.files)} sets"


@dataclass(frozen=True)
class Probe(Evaluate):
    """Linear probes of a checkpoint's image features."""

    name = "probe"
    revision = 3
    counted = 1
