"""`helip run`: one artefact of a study, as the rules of the graph make it."""

from typing import Annotated

from pydantic import Field

from helip.cli.command import ARGUMENT, DEVICE, Command, Shard, Workers


class Run(Command):
    """The rules of the graph call it; `snakemake TARGET` calls it for you, after all that the artefact needs."""

    study: Annotated[str, ARGUMENT] = Field(description="a study of experiments/studies, without .yaml")
    stage: Annotated[str, ARGUMENT] = Field(description="a stage of helip/stages: corpus, encode, mine, select, train, evaluate, ...")
    key: Annotated[tuple[str, ...], ARGUMENT] = Field((), description="which one: the wildcards of its rule, in their order")
    shard: Shard = Field((0, 1), description="make only part i of n")
    workers: Workers | None = Field(None, description="processes or threads; by default what the study declares for the stage")
    device: str | None = Field(None, description=DEVICE)

    def run(self) -> int | None:
        """Runs the stage."""
        from helip import stages

        return stages.run(self.study, self.stage, self.key, shard=self.shard, workers=self.workers, device=self.device)
