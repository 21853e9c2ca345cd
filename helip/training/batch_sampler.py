"""The sampler as torch's DataLoader takes it: `DataLoader(dataset, batch_sampler=HardPairSampler(pairs, 256))`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler

from helip.errors import HelipError
from helip.training.checks import check_counted, check_pairs
from helip.training.distributed import check_divides
from helip.training.sampler import BatchPlan, HardPairs, Sampler


class HardPairSampler(BatchSampler):
    """`iter(sampler)` yields the ids of each batch of an epoch, those of this process alone where several train together.

    `pairs` is a pair set over the data set. `batch_size` is the whole batch, over all processes; process `rank` of `world_size` gets an
    equal share of its rows, in order. Other settings are those of `Sampler`. The batches are a pure function of (seed, epoch, step): after
    `set_epoch(e)` and `start_at(step)` a resumed training sees what it would have seen. Loader processes change nothing: batches are
    drawn in the training process.

    HelipError is raised for what `Sampler` refuses, and where the batch does not divide among the processes.
    """

    def __init__(self, pairs: HardPairs, batch_size: int, *, seed: int = 0, rank: int = 0, world_size: int = 1, **settings: Any):
        for name, value in (("rank", rank), ("world_size", world_size)):
            check_counted(name, value)
        if not 0 <= rank < world_size:
            raise HelipError(f"rank = {rank}: expected one of the world's {world_size} processes, counted from 0")
        check_pairs(pairs)
        self._plans = Sampler(len(pairs), batch_size, seed, pairs, **settings)
        check_divides(batch_size, world_size, 1)
        self._rows = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
        self._epoch, self._start, self._asked = 0, 0, 0

    def __len__(self) -> int:
        return len(self._plans) - self._start

    def __iter__(self) -> Iterator[list[int]]:
        start, self._start = self._start, 0  # of this iteration alone, though it be left early
        for step in range(start, len(self._plans)):
            yield self.plan(step).ids[self._rows].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that is drawn next, counted from 0; without it every epoch has the same batches."""
        check_counted("epoch", epoch)
        self._epoch, self._asked = int(epoch), 0

    def start_at(self, step: int) -> None:
        """Chooses the step of the epoch that the next iteration begins at, for a resumed training; HelipError where the epoch is over."""
        check_counted("step", step)
        if step > len(self._plans):
            raise HelipError(f"step = {step}: an epoch has {len(self._plans)} steps; go on with the next one by set_epoch")
        self._start = int(step)

    def plan(self, step: int) -> BatchPlan:
        """Returns the plan of a step of this epoch, counted from 0: what `HelipLoss` and the margin loss ask for.

        HelipError is raised for a step beyond it, such as one that a trainer counts through all epochs.
        """
        check_counted("step", step)
        if step >= len(self._plans):
            raise HelipError(f"step = {step}: an epoch has {len(self._plans)} steps, counted from 0; set_epoch chooses the epoch")
        return self._plans(self._epoch * len(self._plans) + step)

    def plan_of(self, ids: Any) -> BatchPlan:
        """Returns the plan of the batch of this epoch that has these ids: for a trainer that does not say which step it is at.

        ids: [b] of this process's rows in their order, array or tensor. The batch after the one that was asked for last is tried first.
        HelipError is raised where no batch of the epoch has them.
        """
        wanted = torch.as_tensor(ids).cpu().numpy()
        for i in range(steps := len(self._plans)):
            step = (self._asked + i) % steps
            plan = self.plan(step)
            if np.array_equal(plan.ids[self._rows], wanted):
                self._asked = step + 1
                return plan
        raise HelipError(f"ids {wanted[:4].tolist()}...: no batch of epoch {self._epoch} has them in this order; call set_epoch first")
