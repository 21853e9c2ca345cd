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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from helip.config import Refinement, Retention, TrainConfig
from helip.errors import HelipError
from helip.io import provenance
from helip.models.export import export
from helip.models.frozen import FrozenClip
from helip.models.loading import Clip
from helip.progress import Progress
from helip.selection.soft import Soft
from helip.training import Interrupts, lora, state
from helip.training.augmentation import views
from helip.training.batches import CACHE_BYTES, Corpus, Inputs, Loaded, PairDataset, ToDevice, loading, worker_count
from helip.training.curve import MetricsLog, NotFiniteError
from helip.training.distributed import DistributedContext, check_divides
from helip.training.duplicates import Duplicates, cached
from helip.training.frozen import RowsToDevice, TrunkDataset, TrunkRows, check
from helip.training.layers import freeze
from helip.training.objectives import build_objective
from helip.training.optimisation import check_finite, learning_rate, optimiser, total_steps
from helip.training.retention import Retained
from helip.training.sampler import BatchPlan, HardPairs, Sampler, held_out_mask
from helip.training.state import REQUEUE
from helip.training.step import TrainStep
from helip.training.validation import Best, held_out_recall, held_out_recall_of_features

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainJob:
    """A job is everything that one training needs; `clip` is the model to train, fresh or a start checkpoint, and is changed in place."""

    recipe: TrainConfig | Refinement
    clip: Clip
    corpus: Corpus
    seed: int
    digest: str  # of all that decides the result; names the state
    state_dir: Path
    out: Path
    name: str = "train"
    recovered_share: float | None = None  # of the published corpus, for train.json
    pairs: HardPairs | None = None
    keep: np.ndarray | None = None  # [N] bool: the pairs selected for training; None: all
    soft: Soft | None = None  # how often each is drawn; None: all alike
    duplicates: Duplicates | None = None  # of the corpus; None: looked for, where the recipe asks for them
    duplicates_dir: Path | None = None  # where they are kept for other trainings on the corpus; None: with the state, and as long
    retention_score: Callable[[nn.Module], float] | None = None  # of the recipe's retention set; points, higher is better
    inputs: dict[str, str] = field(default_factory=dict)  # digests, for train.json
    warnings: tuple[str, ...] = ()  # of the preparation, for train.json
    validation: Corpus | None = None  # what early stopping validates on, in place of a held-out share of the corpus
    features: TrunkRows | None = None  # of a model whose trunks are frozen, in place of the corpus' pixels and tokens
    workers: int | None = None  # loader processes; None: none on a CPU, up to 8 beside a GPU
    follow: Callable[[dict[str, float]], None] | None = None  # told each row of the curve; it must neither wait nor raise


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
        self._stopping = stopping = refinement.early_stopping if refinement else None
        self.retention = refinement.retention if refinement else None
        held_out = held_out_mask(len(job.corpus), stopping.held_out) if stopping and not job.validation else None
        keep = np.ones(len(job.corpus), bool) if job.keep is None else job.keep
        self.sampler = sampler_of(
            recipe, len(job.corpus), job.seed, job.pairs, keep if held_out is None else keep & ~held_out, job.soft, self._duplicates()
        )
        self._held_out = np.zeros(0, np.int64) if held_out is None else np.flatnonzero(held_out)
        if job.validation is not None:
            self._held_out = np.arange(len(job.validation))
        self.best = Best(stopping) if stopping else None

        layout = torch.channels_last if world.device.type == "cuda" else torch.contiguous_format  # no gain on a CPU
        self.model = job.clip.model.to(world.device, memory_format=layout)
        torch.manual_seed(job.seed + 1)  # the heads'; the model had the seed itself
        self._check_features()
        start = copy.deepcopy(self.model).eval().requires_grad_(False) if refinement and refinement.distill else None
        freeze(self.model, recipe)
        if refinement and refinement.lora:
            lora.add(self.model, refinement.lora)
        self.objective = build_objective(recipe, self.model, len(job.corpus)).to(world.device)
        self.stepper = TrainStep(self.model, self.objective, optimiser([self.model, self.objective], recipe), recipe, world, start)
        self._moments = refinement.moments if refinement else 0
        self.retained = Retained(self.retention) if self.retention and self.retention.stop is not None else None
        self.curve, self.draws, self.seconds = MetricsLog(job.follow if world.leads else None), "", 0.0
        self.warnings: list[str] = []
        self._resume()

    def _check_features(self) -> None:
        frozen, features = isinstance(self.model, FrozenClip), self.job.features
        if frozen and features is None:
            raise HelipError(f"{self.job.name}: the model's trunks are frozen, and it is trained on their cached features: give them")
        if features is not None:
            check(features, self.job.recipe, len(self.job.corpus))

    def _duplicates(self) -> Duplicates | None:
        """Those of the corpus where the recipe asks for them: the first process finds them, the others read what it wrote."""
        result = duplicates_of(self.job) if self.world.leads else None
        self.world.barrier()
        return result or duplicates_of(self.job)

    # ------------------------------------------------------------ state

    def _stateful(self) -> dict[str, Any]:
        parts = {"model": self.model, "objective": self.objective, "optimiser": self.stepper.optimiser, "scaler": self.stepper.scaler}
        watched = {"best": self.best, "retained": self.retained}
        return parts | {"curve": self.curve} | {name: one for name, one in watched.items() if one}

    def save(self) -> None:
        """Saves the resume state; HelipError is raised instead where a loss or weight is not finite."""
        self.curve.read()  # a loss that is not finite is found here at the latest
        check_finite(self.model, self.step)
        if self.world.leads:
            payload = {name: part.state_dict() for name, part in self._stateful().items()}
            average = self.stepper.average.weights if self.stepper.average else []
            facts = {"average": average, "draws": self.draws, "seconds": self.seconds, "warnings": self.warnings}
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
        self.step, self.draws, self.seconds, self.warnings = (saved[k] for k in ("step", "draws", "seconds", "warnings"))

    # ------------------------------------------------------------ running

    def run(self, interrupts: Interrupts) -> bool:
        """Returns True when the training is complete, and False when it was interrupted and its state saved."""
        try:
            return self._run(interrupts)
        except NotFiniteError as error:
            kept = state.last_step(self.job.state_dir)
            before = f"the state of step {kept} is kept in {self.job.state_dir}" if kept is not None else "no state was saved before it"
            raise HelipError(f"{error}; {before}") from None

    def _run(self, interrupts: Interrupts) -> bool:
        over = bool(self.best and self.best.exhausted) or bool(self.retained and self.retained.fell)
        stop = self._watch() if self.step == 0 else over
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
            stop = self._watch()
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

    # ------------------------------------------------------------ watching

    def _watch(self) -> bool:
        """Retention and validation where they are due, validation at the end too; True when early stopping says so."""
        stopping = self._stopping
        if self.retention and self.step % self.retention.every == 0 and self._watch_retention(self.retention):
            return True
        if stopping and self.best and (self.step % stopping.every == 0 or self.step == self.steps):
            with self._exported_weights():
                score = self.world.agreed(self._held_out_recall())
                self.best.see(self.model, score, self.step)
            self.curve.note(self.step, validation=score)
            return self.best.exhausted
        return False

    def _held_out_recall(self) -> float:
        if self.job.features is not None:
            return held_out_recall_of_features(self.job.clip, self.job.features, self._held_out, self.world.device)
        return held_out_recall(self.job.clip, self.job.validation or self.job.corpus, self._held_out, self.world.device)

    def _watch_retention(self, retention: Retention) -> bool:
        """True when the model has forgotten more than the recipe allows."""
        with self._exported_weights():
            self.model.eval()
            assert self.job.retention_score is not None  # a job whose recipe watches retention brings it
            score = self.world.agreed(self.job.retention_score(self.model))
            if self.retained:
                self.retained.see(self.model, score, self.step)
        self.curve.note(self.step, retention=score)
        first = next(row["retention"] for row in self.curve.rows if "retention" in row)
        if score < first - retention.tolerance:
            self._warn(f"step {self.step}: retention fell from {first:.2f} to {score:.2f}, more than {retention.tolerance:g} points")
        if self.retained and self.retained.fell:
            self._warn(f"step {self.step}: retention fell more than {retention.stop:g} points: exported is step {self.retained.step}")
        return bool(self.retained and self.retained.fell)

    def _warn(self, what: str) -> None:
        self.warnings.append(what)
        log.warning("%s: %s", self.job.name, what)

    def _exported_weights(self) -> contextlib.AbstractContextManager:
        """The model as it would be exported now."""
        return self.stepper.average.applied() if self.stepper.average else contextlib.nullcontext()

    def weights(self) -> dict[str, Tensor]:
        """Returns what is exported, on the CPU: the weights before the model forgot too much, the best on validation, or the last, averaged
        where the recipe says so.
        """
        if self.retained and self.retained.fell:
            return self.retained.weights
        if self.best:
            return self.best.weights
        with self._exported_weights():
            return {name: w.detach().cpu().clone() for name, w in lora.merged_state(self.model).items()}

    def export(self) -> None:
        """Writes the trained model, its metrics and its metadata to the job's output folder."""
        stopped = {"best_step": self.best.step, "best_validation": self.best.score} if self.best else {}
        if self.best and self.best.step == 0:
            self._warn("no validation was better than the start's: what is exported is the start, as it was")
        if wrong := self.curve.verdict(self.job.recipe.batch_size):
            self._warn(wrong)
        stopped |= {"retained_step": self.retained.step} if self.retained and self.retained.fell else {}
        warnings = [*self.job.warnings, *self.warnings]
        facts = {"digest": self.job.digest, "seed": self.job.seed, "steps": self.step, "draws": self.draws, "warnings": warnings}
        cost = {"wall_clock_seconds": round(self.seconds, 1), "processes": self.world.size, "device": str(self.world.device)}
        metadata = provenance(self.job.recipe, self.job.inputs, recovered_share=self.job.recovered_share, **facts, **cost, **stopped)
        export(self.job.out, self.job.clip, self.weights(), self.curve.write, metadata)


def sampler_of(
    recipe: TrainConfig,
    size: int,
    seed: int,
    pairs: HardPairs | None,
    keep: np.ndarray | None = None,
    soft: Soft | None = None,
    duplicates: Duplicates | None = None,
) -> Sampler:
    """Returns the sampler of a recipe; pre-training draws as the control arm does. `keep` [N] is what may be drawn, `soft` how often."""
    if not isinstance(recipe, Refinement):
        return Sampler(size, recipe.batch_size, seed, arm="control", keep=keep, soft=soft)
    r, pairs = recipe, None if recipe.arm == "control" else pairs
    apart = r.duplicates == "separate"
    return Sampler(size, r.batch_size, seed, pairs, r.arm, r.seed_fraction, r.p, r.drop_noise, keep, r.role, soft, duplicates, apart)


def duplicates_of(job: TrainJob) -> Duplicates | None:
    """Returns the duplicates of a job's corpus where its recipe asks for them, looked for once; else None."""
    if not isinstance(job.recipe, Refinement) or job.recipe.duplicates in (None, "ignore"):
        return None
    return job.duplicates or cached(job.corpus, job.duplicates_dir or job.state_dir)
