"""The stage `contrasts`: the study's primary contrasts, from metrics files."""

from dataclasses import dataclass
from pathlib import Path

from helip.errors import HelipError
from helip.stages.base import How, Stage, words
from helip.stages.evaluate import Evaluate, Probe, metrics_file
from helip.study import Study


@dataclass(frozen=True)
class DecideContrasts(Stage):
    """The primary contrasts of a study, which its YAML fixes before the first run."""

    name = "contrasts"
    path = ""
    files = ("contrasts.csv", "contrasts.md")

    def config(self) -> object:
        if not self.study.declaration.contrasts:
            raise HelipError(f"{self.study.file}: contrasts: the study declares none, so there is nothing to decide")
        contrasts = self.study.declaration.contrasts
        return [contrasts, self.study.declaration.meaningless, [str(path) for path in self.inputs()], words(contrasts)]

    def _measured(self) -> dict[Path, Stage]:
        """Each metrics file that a contrast needs, with the artefact that holds it."""
        files: dict[Path, Stage] = {}
        for contrast in self.study.declaration.contrasts.values():
            for set_name, task in dict.fromkeys(tuple(metric.split(".")[:2]) for metric in contrast.metrics):
                kind = Probe if task == "probe" else Evaluate
                for run in dict.fromkeys(name for pair in contrast.all_pairs for name in (pair.run, pair.against)):
                    for seed in self.study.run(run).seeds:
                        files[metrics_file(self.study, run, seed, set_name, task)] = kind(self.study, run, seed)
        return files

    def needs(self) -> list[Stage]:
        return list(dict.fromkeys(self._measured().values()))

    def inputs(self) -> list[Path]:
        return list(self._measured())

    def make(self, how: How) -> str:
        from pkgutil import resolve_name  # reporting stands above the stages

        return str(resolve_name("helip.reporting.pages:write_contrasts")(self.study))


def contrasts_of(study: Study) -> list[DecideContrasts]:
    """Returns the stage of the primary contrasts, where the study declares any."""
    return [DecideContrasts(study)] if study.declaration.contrasts else []
