"""`helip run`: one artefact of a study, as the rules of the graph make it."""

from typing import Annotated

from pydantic import Field

from helip.cli.command import ARGUMENT, DEVICE, Command, Workers
from helip.errors import HelipError


class Run(Command):
    """The rules of the graph call it; `snakemake TARGET` calls it for you, after all that the artefact needs."""

    study: Annotated[str, ARGUMENT] = Field(description="a study of experiments/studies, without .yaml")
    stage: Annotated[str, ARGUMENT] = Field(description="a stage of helip/stages: corpus, encode, mine, select, train, evaluate, ...")
    key: Annotated[tuple[str, ...], ARGUMENT] = Field(
        (), description="which one: the wildcards of its rule, in their order; by default none, for what a study has once"
    )
    workers: Workers | None = Field(None, description="processes or threads; by default what the study declares for the stage")
    device: str | None = Field(None, description=DEVICE)
    digest: tuple[str, ...] = Field(
        (), description="what the artefact stood for when snakemake began: made of other settings it is refused; by default not asked"
    )

    def run(self) -> int | None:
        """Runs the stage."""
        from helip import stages, study

        one = stages.artefact(study.load(self.study), self.stage, self.key)
        if self.digest and one.digest not in self.digest:
            raise HelipError(
                f"{one.study.file}: the settings of {one.name} {one.title} changed after snakemake began; start snakemake again"
            )
        return stages.make(one, stages.How(self.workers, self.device))
