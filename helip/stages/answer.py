"""The stage `answer`: what refinement on somebody's own pairs gave, on one page and in plain words."""

from dataclasses import dataclass
from pathlib import Path

from helip.stages.base import How, Stage
from helip.stages.contamination import contamination_of
from helip.stages.evaluate import Evaluate
from helip.stages.mine import Mine
from helip.stages.select import Select, selection_of
from helip.stages.sweep import Sweep
from helip.study import Study


@dataclass(frozen=True)
class Answer(Stage):
    """report.html, answer.txt for a terminal, and answer.json, which holds every number of the page."""

    name = "answer"
    path = "answer"
    files = ("report.html", "answer.txt", "answer.json")

    def config(self) -> object:
        return [self.study.declaration.question, list(self.study.runs)]

    def needs(self) -> list[Stage]:
        return [*self.evaluated(), *self.sweeps(), *self.selections(), *self.pairs(), *contamination_of(self.study)]

    def inputs(self) -> list[Path]:
        return list(dict.fromkeys(path for one in self.needs() for path in one.outputs))

    def evaluated(self) -> list[Evaluate]:
        """Returns the evaluation of every model of the study."""
        return [Evaluate(self.study, run.name, seed) for run in self.study.runs.values() for seed in run.seeds]

    def sweeps(self) -> list[Sweep]:
        """Returns the sweeps that swept the weights of interpolations."""
        return sweeps_of(self.study)

    def selections(self) -> list[Select]:
        """Returns the selections that some run trains on."""
        chosen = [selection_of(self.study, run.name, seed) for run in self.study.runs.values() if run.select for seed in run.seeds]
        return list(dict.fromkeys(chosen))

    def pairs(self) -> list[Mine]:
        """Returns the pair sets that some run draws hard pairs from."""
        return [Mine(self.study, name) for name in self.study.pairs]

    def make(self, how: How) -> str:
        from pkgutil import resolve_name  # reporting stands above the stages

        return str(resolve_name("helip.reporting.refine:write_answer")(self.study, self.folder))


def sweeps_of(study: Study) -> list[Sweep]:
    """Returns every sweep of a study."""
    swept = [run for run in study.runs.values() if run.interpolate and run.interpolate.weight is None]
    return [Sweep(study, run.name, seed) for run in swept for seed in run.seeds]
