"""The training loop: batch, step, curve, state; and what happens when it is interrupted.

job = TrainJob(recipe=..., clip=..., corpus=..., seed=0, digest=..., state_dir=..., out=...)
exit_code = train(job, join())
"""

import contextlib
import copy
import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from helip.config import Refinement
from helip.errors import HelipError
from helip.io import provenance
from helip.models.export import export
from helip.models.frozen import FrozenClip
from helip.progress import Progress
from helip.training import Interrupts, lora, state
from helip.training.augmentation import views
from helip.training.batches import CACHE_BYTES, Inputs, Loaded, PairDataset, ToDevice, loading, worker_count
from helip.training.curve import MetricsLog, NotFiniteError
from helip.training.distributed import DistributedContext, check_divides
from helip.training.duplicates import Duplicates
from helip.training.frozen import RowsToDevice, TrunkDataset, check
from helip.training.job import TrainJob, duplicates_of, sampler_of
from helip.training.objectives import made_trainable
from helip.training.optimisation import check_finite, learning_rate, optimiser, total_steps
from helip.training.sampler import BatchPlan
from helip.training.state import REQUEUE
from helip.training.step import TrainStep
from helip.training.watching import Watch

log = logging.getLogger(__name__)


def train(job: TrainJob, world: DistributedContext, listening: Interrupts | None = None) -> int:
    """Trains from the last state, or from the start, to the end; returns 0, or REQUEUE after SIGTERM or SIGUSR2.

    `listening` are interrupts that have been listened for since the command began. HelipError is raised for a job that cannot be trained,
    and where a loss or weight is not finite.
    """
    with contextlib.nullcontext(listening) if listening else Interrupts() as interrupts:
        training = Trainer(job, world)
        done = training.run(interrupts)
    if not done:
        return REQUEUE
    if world.leads:
        training.export()
        shutil.rmtree(job.state_dir, ignore_errors=True)
    world.barrier()
    return 0


class Trainer:
    """The trainer runs one job in one process: it draws batches, takes steps, records metrics and keeps the resume state.

    It resumes from the last saved state when it is made. HelipError is raised where the batch size does not divide, or where the
    processes find different states.
    """

    def __init__(self, job: TrainJob, world: DistributedContext):
        recipe, refinement = job.recipe, job.recipe if isinstance(job.recipe, Refinement) else None
        check_divides(recipe.batch_size, world.size, recipe.accumulate)
        self.job, self.world, self.steps, self.step = job, world, total_steps(recipe, len(job.corpus)), 0
        self.curve, self.draws, self.seconds = MetricsLog(job.follow if world.leads else None), "", 0.0
        self.watch = Watch(job, world, self.steps, self.curve)
        duplicates = self._duplicates()
        drawable = self.watch.drawable(duplicates)
        self.sampler = sampler_of(recipe, len(job.corpus), job.seed, job.pairs, drawable, job.soft, duplicates)

        layout = torch.channels_last if world.device.type == "cuda" else torch.contiguous_format  # no gain on a CPU
        self.model = job.clip.model.to(world.device, memory_format=layout)
        torch.manual_seed(job.seed + 1)  # the heads'; the model had the seed itself
        self._check_features()
        start = copy.deepcopy(self.model).eval().requires_grad_(False) if refinement and refinement.distill else None
        self.objective = made_trainable(self.model, recipe, len(job.corpus)).to(world.device)
        self.stepper = TrainStep(self.model, self.objective, optimiser([self.model, self.objective], recipe), recipe, world, start)
        self._moments = refinement.moments if refinement else 0
        self._resume()

    def _check_features(self) -> None:
        frozen, features = isinstance(self.model, FrozenClip), self.job.features
        if frozen and features is None:
            raise HelipError(f"{self.job.name}: the model's trunks are frozen, and it is trained on their cached features: give them")
        if features is not None:
            check(features, self.job.recipe, len(self.job.corpus))
            if self.job.validation is not None:
                raise HelipError(
                    f"{self.job.name}: its features are of the training corpus, and validation is another one: leave validation out, and a "
                    "share of the corpus is held out"
                )

    def _duplicates(self) -> Duplicates | None:
        """Those of the corpus where the recipe asks for them: the first process finds them, the others read what it wrote."""
        result = duplicates_of(self.job) if self.world.leads else None
        self.world.barrier()
        return result or duplicates_of(self.job)

    # ------------------------------------------------------------ state

    def _stateful(self) -> dict[str, Any]:
        parts = {"model": self.model, "objective": self.objective, "optimiser": self.stepper.optimiser, "scaler": self.stepper.scaler}
        watched = {"best": self.watch.best, "retained": self.watch.retained}
        return parts | {"curve": self.curve} | {name: one for name, one in watched.items() if one}

    def save(self) -> None:
        """Saves the resume state; HelipError is raised instead where a loss or weight is not finite."""
        self.curve.read()  # a loss that is not finite is found here at the latest
        check_finite(self.model, self.step)
        if self.world.leads:
            payload = {name: part.state_dict() for name, part in self._stateful().items()}
            average = self.stepper.average.weights if self.stepper.average else []
            facts = {"average": average, "draws": self.draws, "seconds": self.seconds, "warnings": self.watch.warnings}
            state.save(self.job.state_dir, self.step, self.job.digest, payload | facts)

    def _resume(self) -> None:
        if self.world.leads:
            state.sweep(self.job.state_dir)
        self.world.barrier()
        saved = state.latest(self.job.state_dir, self.job.digest)
        step = saved["step"] if saved else 0
        if self.world.any(self.world.agreed(step) != step):
            why = f"{self.job.state_dir}: the processes do not find the same state there (this one that of step {step})"
            raise HelipError(f"{why}; give the file system a moment and run the same command again")
        if saved is None:
            return
        for name, part in self._stateful().items():
            part.load_state_dict(saved[name])
        for own, average in zip(self.stepper.average.weights if self.stepper.average else [], saved["average"], strict=True):
            own.copy_(average)
        self.step, self.draws, self.seconds, self.watch.warnings = (saved[k] for k in ("step", "draws", "seconds", "warnings"))

    # ------------------------------------------------------------ running

    def run(self, interrupts: Interrupts) -> bool:
        """Returns True when the training is complete, and False when it was interrupted and its state saved."""
        try:
            return self._run(interrupts)
        except NotFiniteError as error:
            good = state.last_step(self.job.state_dir)
            before = f"the state of step {good} is kept in {self.job.state_dir}" if good is not None else "no state was saved before it"
            raise HelipError(f"{error}; {before}") from None

    def _run(self, interrupts: Interrupts) -> bool:
        stop = self._look() if self.step == 0 else self.watch.over
        speed_in = self.job.recipe.batch_size, "samples"
        progress = Progress(self.job.name, self.steps, "steps", done=self.step, speed_in=speed_in, quiet=not self.world.leads)
        if self.step:
            progress.say(f"goes on from step {self.step} of {self.steps}")
        if not stop and not self._warm(interrupts):
            progress.say("interrupted before the first step: run the same command again to begin")
            return False
        begun, before = self.seconds - time.monotonic(), time.monotonic()
        for batch, inputs in self.batches():
            if stop:
                break
            self.advance(batch, inputs, before)
            stop = self._look()
            self.seconds = begun + time.monotonic()
            progress.update(numbers=self.curve.last_loss)
            if self.world.any(interrupts.seen):
                self.save()
                self.world.barrier()  # srun kills the others when one process leaves: the state must be whole by then
                progress.say(f"interrupted at step {self.step}, state saved: run the same command again to go on")
                return False
            if self.step % self.job.recipe.save_every == 0 and self.step < self.steps:
                self.save()
            before = time.monotonic()
        self.save()
        progress.close()
        return True

    def _warm(self, interrupts: Interrupts) -> bool:
        """Fills the optimiser's moments before the first step, from batches that no step has; False when it was interrupted."""
        for batch, inputs in self.batches(steps=range(self.steps, self.steps + self._moments)) if self.step == 0 else ():
            self.stepper.warm(inputs, batch, int(batch.sample_seeds[self.world.rank]))
            if self.world.any(interrupts.seen):
                return False
        return True

    def batches(self, cache_bytes: int = CACHE_BYTES, steps: range | None = None) -> Iterator[tuple[BatchPlan, Inputs]]:
        """Yields the batches from the present step on, or of `steps`: the whole batch's plan and this process's rows on its device."""
        clip, world, job = self.job.clip, self.world, self.job
        wanted = views(self.objective.augmentations, job.recipe.augmentation)
        workers = worker_count(world.device, world.local_size) if job.workers is None else job.workers
        trim = getattr(self.model, "takes_short_captions", False)
        cache = 0 if workers else cache_bytes
        rows: Dataset
        to_device: Callable[[Loaded], Inputs]
        if job.features is not None:
            asked = self.objective.augmentations
            rows = TrunkDataset(job.features, job.recipe.augmentation, world.rank, world.size, asked)
            to_device = RowsToDevice(world.device)
        else:
            rows = PairDataset(job.corpus, clip.tokenize, clip.image_size, wanted, world.rank, world.size, cache, trim)
            to_device = ToDevice(world.device, clip.preprocess["mean"], clip.preprocess["std"], wanted)
        plans = (self.sampler(step) for step in (range(self.step, self.steps) if steps is None else steps))
        for batch, loaded in loading(rows, plans, workers, world.device.type == "cuda"):
            yield batch, to_device(loaded)

    def advance(self, batch: BatchPlan, inputs: Inputs, before: float) -> None:
        """Takes one step and records its row of metrics; `before` is when its batch was asked for, in seconds of the monotonic clock."""
        rate = learning_rate(self.job.recipe, self.step, self.steps)
        loss, parts = self.stepper(inputs, batch, rate, int(batch.sample_seeds[self.world.rank]))
        self.step += 1
        self.draws = hashlib.sha256(self.draws.encode() + batch.ids.tobytes() + batch.hard.tobytes() + batch.captions.tobytes()).hexdigest()
        self._record(loss, parts, rate, time.monotonic() - before)

    def _record(self, loss: Tensor, parts: dict[str, Tensor], rate: float, seconds: float) -> None:
        known = {"step": self.step, "lr": rate, "samples_per_second": self.job.recipe.batch_size / max(seconds, 1e-9)}
        scale = self.model.logit_scale.detach().exp()
        self.curve.add(known, {"loss": loss, **parts, "logit_scale": scale.reshape(())})

    # ------------------------------------------------------------ what comes out

    def _look(self) -> bool:
        """True when what is watched says that the training is to stop."""
        if not self.watch.due(self.step):
            return False
        with self._exported_weights():
            return self.watch.look(self.model, self.step)

    def _exported_weights(self) -> contextlib.AbstractContextManager:
        """The model as it would be exported now."""
        return self.stepper.average.applied() if self.stepper.average else contextlib.nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """Returns what is exported, on the CPU: the weights before the model forgot too much, the best on validation, or the last, averaged
        where the recipe says so.
        """
        if (chosen := self.watch.chosen()) is not None:
            return chosen
        with self._exported_weights():
            return {name: w.detach().cpu().clone() for name, w in lora.merged_state(self.model).items()}

    def export(self) -> None:
        """Writes the trained model, its metrics and its metadata to the job's output folder."""
        fell = self.watch.retained and self.watch.retained.fell  # then what was retained is exported, not the best
        if self.watch.best and self.watch.best.step == 0 and not fell:
            self.watch.warn("no validation was better than the start's: what is exported is the start, as it was")
        if wrong := self.curve.verdict(self.job.recipe.batch_size):
            self.watch.warn(wrong)
        warnings = [*self.job.warnings, *self.watch.warnings]
        facts: dict[str, Any] = {
            "digest": self.job.digest,
            "seed": self.job.seed,
            "steps": self.step,
            "draws": self.draws,
            "warnings": warnings,
        }
        facts |= {"wall_clock_seconds": round(self.seconds, 1), "processes": self.world.size, "device": str(self.world.device)}
        metadata = provenance(self.job.recipe, self.job.inputs, recovered_share=self.job.recovered_share, **facts, **self.watch.facts())
        export(self.job.out, self.job.clip, self.weights(), self.curve.write, metadata)
