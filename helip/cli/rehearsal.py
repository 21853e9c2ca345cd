"""The command `helip rehearse`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from helip.cli.command import ARGUMENT, DEVICE, Command, done
from helip.cli.graph import STUDY, Study

Stages = Annotated[tuple[str, ...], Field(description="only kinds of these stages, e.g. train encode; by default all")]
BATCH = "rows of a training batch where there is no GPU"


class Rehearse(Command):
    """Each distinct kind of job runs for real, in its real shape, on a handful of samples and three steps. The exit code is 1 where a kind
    would fail or was not reached; the table says why, and what to do. Costs are written beside the study, where `helip plan` reads them.
    """

    study: Study = Field(description=STUDY)
    tables: Annotated[tuple[str, ...], ARGUMENT] = Field((), description="only what these tables need, e.g. table1; by default all")
    only: Stages = ()
    earlier: Path | None = Field(None, description="rehearsal.json of an earlier sitting: its kinds are not run again, but those of --only")
    out: Path | None = Field(None, description="the page; by default rehearsal.html in the study's results, the table beside it")
    costs: Path | None = Field(None, description="the file of costs; by default STUDY.costs.yaml beside the study")
    device: str | None = Field(None, description=DEVICE)
    batch: int = Field(8, ge=4, description=BATCH)
    items: int = Field(100, ge=2, description="of an evaluation set")
    samples: int = Field(300, ge=8, description="pairs of a corpus that are fetched")
    limit_s: float = Field(900, gt=0, description="seconds after which one kind at one size is given up")
    within: float | None = Field(None, gt=0, description="minutes after which no further kind is begun; the first of each stage come first")
    processes: int | None = Field(None, ge=1, description="that train together; by default one a GPU of this job, on a CPU one")
    gpu_gb: float = Field(32, gt=0, description="memory of one GPU of the study's machine, in GiB")

    def run(self) -> int:
        """Rehearses the study, writes page, table and costs, and returns 1 where a kind would fail."""
        import os

        from helip import study
        from helip.errors import HelipError, nearest
        from helip.gpus import torch_device
        from helip.rehearsal import Rehearsal, rehearse
        from helip.rehearsal.kinds import STAGES
        from helip.rehearsal.report import markdown, write
        from helip.rehearsal.scale import Scale
        from helip.training.processes import processes_wanted

        if unknown := [name for name in self.only if name not in STAGES]:
            raise HelipError(f"--only {unknown[0]}: no stage that is rehearsed{nearest(unknown[0], STAGES)}; they are {', '.join(STAGES)}")
        loaded, device = study.load(self.study), torch_device(self.device).partition(":")[0]
        if "WORLD_SIZE" in os.environ:
            raise HelipError("a rehearsal starts its own processes: run it once, on one node, without torchrun or several nodes")
        processes = self.processes or (processes_wanted() if device == "cuda" else 1)
        scale = Scale(device, self.batch, self.samples, self.items, processes=processes, limit_s=self.limit_s, gpu_gb=self.gpu_gb)
        page = self.out or loaded.root / "rehearsal.html"

        def write_so_far(so_far: Rehearsal) -> list[Path]:
            """Writes the page after each kind, so that a rehearsal which is killed goes on by --earlier."""
            return write(so_far, page, self.costs)

        within_s = self.within and 60 * self.within
        rehearsal = rehearse(loaded, scale, self.tables or None, self.only, within_s, self.earlier, seen=write_so_far)
        files = write_so_far(rehearsal)
        print(markdown(rehearsal))
        done(*map(str, files), then=f"helip plan {self.study}")
        return 1 if rehearsal.failed or rehearsal.unseen else 0
