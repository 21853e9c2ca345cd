"""The stage `evaluation_set`: an evaluation set, generated, or checked to be there."""

from dataclasses import dataclass

from helip.config import EvaluationSet, GeneratedSet, HeldOutSet, TrainPartCorpus
from helip.io import read_json
from helip.stages.base import How, Stage, Work
from helip.stages.corpus import BuildCorpus


@dataclass(frozen=True)
class BuildEvaluationSet(Stage):
    """A generated set with its images; of a set from elsewhere, what was found when it was checked."""

    set: str

    name = "evaluation_set"
    path = "evaluation/{set}"
    files = ("evaluation.json",)
    record = ("evaluation.json", "inputs", "evaluation_digest")

    def config(self) -> EvaluationSet:
        return self.study.evaluation_set(self.set)

    def needs(self) -> list[Stage]:
        """Returns the corpus that its items are held out of, for a set of held-out pairs."""
        declared = self.config()
        if not isinstance(declared, HeldOutSet):
            return []
        part = self.study.corpus(declared.of)
        assert isinstance(part, TrainPartCorpus)  # as the study holds
        return [BuildCorpus(self.study, declared.of), BuildCorpus(self.study, part.of)]

    def images(self) -> tuple[int | None, int | None]:
        """Returns the number of test images, and of images that a probe trains on."""
        declared = self.config()
        if isinstance(declared, GeneratedSet):
            return declared.items, declared.train_items
        built = read_json(self.output) if self.output.exists() else {}
        train = declared.expected.train_items or built.get("train_items") or (None if declared.probe else 0)
        return built.get("items") or declared.expected.items, train

    def work(self) -> Work:
        """Units and items are images."""
        test, train = self.images()
        size = None if test is None or train is None else test + train
        return Work(size, size, (f"evaluation_set.{self.set}", "evaluation_set"))

    def make(self, how: How) -> str:
        from helip.data.corpus import Corpus
        from helip.evaluation.building import build_evaluation_set

        inputs, held = {"evaluation_digest": self.digest}, [Corpus.open(need.folder) for need in self.needs()]
        built = build_evaluation_set(self.set, self.config(), self.folder, inputs, held)
        return f"{built['items']} items, {built['task']}"
