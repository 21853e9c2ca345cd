"""The stage `sweep`: which mixture of a refined model and its start is best on a validation set."""

from dataclasses import dataclass

from helip.errors import HelipError
from helip.io import read_json
from helip.stages.base import How, Stage, Work
from helip.stages.evaluation_set import BuildEvaluationSet
from helip.stages.train import Interpolate


@dataclass(frozen=True)
class Sweep(Stage):
    """sweep.json: the mean recall at 1 of both directions for each weight, and the best weight."""

    run: str  # the interpolation that takes the best weight
    seed: str

    name = "sweep"
    path = "sweeps/{run}/seed{seed}"
    files = ("sweep.json",)
    record = ("sweep.json", "inputs", "sweep_digest")
    takes_gpu = True
    heeds = ("device",)

    @property
    def title(self) -> str:
        return f"{self.run} seed {self.seed}"

    def config(self) -> object:
        return [list(self._declared()[1])]

    def _declared(self) -> tuple[str, tuple[float, ...]]:
        """(validation set, weights)."""
        declared = self.study.run(self.run).interpolate
        if declared is None or declared.validation is None:
            raise HelipError(f"{self.study.file}: {self.run} has no interpolation whose weight a validation set decides")
        return declared.validation, declared.weights

    def validation(self) -> BuildEvaluationSet:
        """Returns the set on which weights are compared."""
        return BuildEvaluationSet(self.study, self._declared()[0])

    def needs(self) -> list[Stage]:
        return [*Interpolate(self.study, self.run, self.seed).mixed(), self.validation()]

    def best(self) -> float:
        """Returns the weight that was result best."""
        return float(read_json(self.output)["best"])

    def work(self) -> Work:
        """Units are images encoded; one item is a file."""
        images = self.validation().images()[0]
        return Work(None if images is None else images * len(self._declared()[1]), 1, (self.name, "evaluate"))

    def make(self, how: How) -> str:
        from helip.evaluation.sets import of_declaration
        from helip.evaluation.sweep import sweep

        (start, refined), held = Interpolate(self.study, self.run, self.seed).mixed(), self.validation()
        data = of_declaration(held.set, held.config(), held.folder)
        digests = {"sweep_digest": self.digest}
        result = sweep(start.folder, refined.folder, self._declared()[1], data, self.output, self.study.root / "cache", digests, how.device)
        return f"best weight {result['best']:g} of {', '.join(result['scores'])}"
