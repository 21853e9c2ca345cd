"""Training: three steps in the real loop, stopped after the second, resumed, exported; at two batch sizes."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from helip.config import MiningSpec, Model, Refinement, TrainConfig
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.io import read_json
from helip.mining.references import random_pairs
from helip.models import loading
from helip.rehearsal.jobs.few import Few
from helip.rehearsal.measured import MB, Point
from helip.rehearsal.request import Job
from helip.stages import Train
from helip.training.distributed import DistributedContext, join, leave
from helip.training.job import TrainJob
from helip.training.loop import Trainer
from helip.training.processes import relaunch

HARD = 8  # hard pairs drawn for each target: their number costs a training nothing


def run(job: Job, arguments: list[str]) -> Point:
    """Returns seconds a sample of the steps after the first, and the bytes of the exported model."""
    if job.scale.processes > 1 and "WORLD_SIZE" not in os.environ:
        code = relaunch(job.scale.processes, arguments, entry=("-m", "helip.rehearsal.child"))
        if not Path(arguments[1]).exists():
            raise HelipError(f"a process of the training ended with code {code} before it had trained; see {job.folder}.log")
        return Point(**read_json(Path(arguments[1])))
    world = join(job.device)
    try:
        return _trained(job, world)
    finally:
        leave()


class StopAfter:
    """Interrupts that come after so many steps, in place of a signal (helip.training.Interrupts)."""

    def __init__(self, steps: int):
        self._left = steps

    @property
    def seen(self) -> bool:
        """Whether a signal came; each look counts as a step."""
        self._left -= 1
        return self._left == 0


def _trained(job: Job, world: DistributedContext) -> Point:
    point, begun = Point(job.size), time.monotonic()
    first = _job(job, world, point)
    trainer = Trainer(first, world)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    point.fixed_mb = 16 * parameters / MB  # float32 weights and gradients, and AdamW's two moments
    point.start = time.monotonic() - begun
    with saved_tensors(trainer, point):
        stopped = not trainer.run(StopAfter(job.scale.steps - 1))  # type: ignore[arg-type]
    assert stopped, "a rehearsal has more steps than it stops after"
    state_bytes = sum(file.stat().st_size for file in first.state_dir.rglob("*") if file.is_file())
    resumed = Trainer(_job(job, world, point), world)
    if resumed.step != job.scale.steps - 1:
        raise HelipError(
            f"{job.kind.name}: stopped after step {job.scale.steps - 1} and resumed at step {resumed.step}; see helip/training/state.py"
        )
    resumed.run(StopAfter(0))  # type: ignore[arg-type]
    point.repetitions = [1 / row["samples_per_second"] for row in resumed.curve.rows[1:]]
    point.units = float(job.size * job.scale.steps)
    if world.leads:
        resumed.export()
        shutil.rmtree(first.state_dir, ignore_errors=True)
        point.bytes = float(sum(file.stat().st_size for file in first.out.iterdir()))
    point.facts = {"state_mb": state_bytes / MB, "parameters": parameters}
    return point


def _job(job: Job, world: DistributedContext, point: Point) -> TrainJob:
    """The study's job with the sample corpus, made-up hard pairs and a model of random weights."""
    assert isinstance(job.kind.one, Train)
    study, run = job.kind.one.study, job.kind.one.study.run(job.kind.one.run)
    declared = study.model(run.model)
    assert isinstance(declared, Model), "heads on frozen trunks are no kind of a rehearsal"
    corpus = Few(Corpus.open(job.sample), max(job.scale.samples, 4 * job.size))
    recipe = _recipe(job, run.recipe, point)
    pairs = random_pairs(len(corpus), MiningSpec(method="random", k=min(HARD, len(corpus) - 1))) if run.pairs else None
    tokenizer = job.folder / "tokenizer"
    made = loading.new(declared, corpus, tokenizer, 0) if world.leads else None  # type: ignore[arg-type]
    world.barrier()
    clip = made or loading.new(declared, corpus, tokenizer, 0)  # type: ignore[arg-type]
    return TrainJob(
        recipe=recipe, clip=clip, corpus=corpus, seed=0, digest=f"rehearsal-{job.size}", state_dir=job.folder / "state",
        out=job.folder / "model", name=f"{job.kind.name} of {job.size}", pairs=pairs,
    )  # fmt: skip


def _recipe(job: Job, declared: TrainConfig, point: Point) -> TrainConfig:
    """The declared recipe with three steps of the rehearsed batch; where there is no GPU, in a precision that the CPU has."""
    changed: dict[str, Any] = {"steps": job.scale.steps, "epochs": None, "batch_size": job.size, "warmup_steps": 1, "save_every": 1000}
    changed["accumulate"] = job.scale.pieces(declared)
    if isinstance(declared, Refinement):
        changed |= {"early_stopping": None, "retention": None}
    if job.device == "cpu" and declared.precision == "fp16":
        changed["precision"] = "bf16"
        point.notes.append("bf16 for fp16, which a CPU has not")
    if job.size < declared.batch_size:
        point.notes.append(f"batch cut from {declared.batch_size}")
    point.notes.append("random weights and hard pairs" if getattr(declared, "arm", "") == "helip" else "random weights")
    return declared.model_copy(update=changed)


class SavedTensor:
    """A tensor that waits for its backward pass; it is counted until autograd lets it go."""

    def __init__(self, tensor: torch.Tensor, counted: "SavedBytes"):
        self.tensor, self._counted = tensor, counted
        self._place, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
        counted.take(self._place, size)

    def __del__(self) -> None:
        self._counted.give(self._place)


class SavedBytes:
    """The bytes of all storages that are held, each counted once, and the most of them at once. `own`: storages that do not count."""

    def __init__(self, own: set[int]):
        self.own, self.now, self.most = own, 0, 0
        self._held: dict[int, tuple[int, int]] = {}  # storage -> its holders, its bytes

    def take(self, place: int, size: int) -> None:
        """One more holds the storage."""
        holders, _ = self._held.get(place, (0, 0))
        self._held[place] = holders + 1, size
        if not holders and place not in self.own:
            self.now += size
            self.most = max(self.most, self.now)

    def give(self, place: int) -> None:
        """One less does."""
        holders, size = self._held[place]
        if holders > 1:
            self._held[place] = holders - 1, size
            return
        del self._held[place]
        self.now -= size if place not in self.own else 0


@contextmanager
def saved_tensors(trainer: Trainer, point: Point) -> Iterator[None]:
    """Counts the tensors that a step keeps for its backward pass, the parameters left out: what a GPU's memory goes by."""
    if trainer.world.device.type == "cuda":
        yield
        return
    saved = SavedBytes({p.untyped_storage().data_ptr() for p in trainer.model.parameters()})
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: SavedTensor(tensor, saved), lambda one: one.tensor):
        yield
    point.saved_mb = saved.most / MB
