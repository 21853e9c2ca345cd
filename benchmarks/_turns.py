"""What the benchmarks of reading and of training share: hard pairs, and contestants that take turns, a block of batches each.

The clock is the process's CPU time where one process does all the work, which what else runs on the machine disturbs least, and the
wall clock where a GPU or loader processes work too. Ratios are of neighbours in a round; the median over the rounds counts.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class RandomPairs:
    """50 random hard pairs for every target: as dear to draw as mined ones."""

    def __init__(self, size: int):
        self.noise = np.zeros(size, bool)
        self._ids = np.random.default_rng(0).integers(0, size, (size, 50), dtype=np.int32)

    def __len__(self) -> int:
        return len(self.noise)

    def hard(self, i: int) -> np.ndarray:
        return self._ids[i]


@dataclass(frozen=True)
class Clock:
    """Seconds that a piece of work takes."""

    workers: int
    gpu: bool = False

    @property
    def name(self) -> str:
        return "wall clock" if self.workers or self.gpu else "CPU time"

    def __call__(self, work: Callable[[], None]) -> float:
        now = time.perf_counter if self.workers or self.gpu else time.process_time
        before = now()
        work()
        if self.gpu:
            import torch

            torch.cuda.synchronize()
        return now() - before


def take_turns(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Samples/s of each contestant in each round; the order turns with the rounds, so that nobody always follows the same one."""
    names, rates = list(contestants), {name: [] for name in contestants}
    for k in range(rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            rates[name].append(contestants[name]())
        latest = ", ".join(f"{name} {seen[-1]:.0f}" for name, seen in rates.items())
        print(f"round {k + 1} of {rounds}, samples/s: {latest}", file=sys.stderr, flush=True)
    return rates


def compare(rates: dict[str, list[float]], one: str, other: str, least: float) -> str:
    """One's rate over the other's: the median over the rounds with its 95 % interval (bootstrap over rounds)."""
    ratios = np.divide(rates[one], rates[other])
    drawn = np.median(np.random.default_rng(0).choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{one} / {other}: {np.median(ratios):.3f} ({low:.3f} to {high:.3f}; wanted at least {least:g})"


def rows(rates: dict[str, list[float]]) -> str:
    return "\n".join(f"{name:24} {statistics.median(seen):9.0f} samples/s" for name, seen in rates.items())
