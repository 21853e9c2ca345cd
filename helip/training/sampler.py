"""Which pairs are in the batch of a step: a pure function of (seed, step), so that nothing needs saving and nothing can be lost.

Base samples B run through a fresh permutation of the corpus each epoch. Some of them are seeds B', and each seed i brings p pairs
drawn uniformly without replacement from its hard pairs H_i (section 3.3 and algorithm 3 of arXiv 2305.05208). numpy only: usable
in anyone's training loop.

    sampler = Sampler(len(corpus), batch_size=512, seed=0, pairs=PairSet.open("pairs"))
    batch = sampler(step)  # batch.ids: 512 corpus ids; batch.ids[batch.hard[s]] are hard pairs of batch.ids[batch.seeds[s]]
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from helip.errors import HelipError
from helip.selection.soft import Soft, soft_cap_sampling

BASE, EPOCH, HELD_OUT, BESIDE = 0, 1, 2, 3  # purposes: each has random streams of its own


class HardPairs(Protocol):
    """This protocol is what the sampler asks of a pair set; `helip.mining.PairSet` has it."""

    @property
    def noise(self) -> np.ndarray:
        """The targets with fewer than k hard pairs, [N] bool."""

    def __len__(self) -> int: ...

    def hard(self, i: int) -> np.ndarray:  # ids of H_i
        """Returns the ids of the hard pairs H_i of pair i."""


@dataclass(frozen=True)
class BatchPlan:
    """The plan is the whole batch of one step, over all processes.

    `seeds` are positions in `ids`, and so is `hard`; a hard pair that is there by its caption alone is B + n, the n-th of `captions` that
    are not -1, counted row by row.
    """

    ids: np.ndarray  # [B] int64, all different
    seeds: np.ndarray  # [S] int64
    hard: np.ndarray  # [S, P] int64
    sample_seeds: np.ndarray  # [B] int64: of everything random about a sample
    captions: np.ndarray  # [B, P] int64 with role negatives, else [B, 0]: ids whose captions a row brings, all different, none in `ids`


def random_stream(seed: int, purpose: int, index: int) -> np.random.Generator:
    """Returns the random numbers of (seed, purpose, index): they are counter-based, so any of them is had without those before it."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, index, purpose]))


def held_out_mask(size: int, share: float) -> np.ndarray:
    """Returns the share of a corpus kept for validation, [N] bool; it is the same in every run on that corpus.

    HelipError is raised where the share is less than a pair.
    """
    mask, count = np.zeros(size, bool), round(share * size)
    if not count:
        raise HelipError(f"early_stopping: held_out {share:g} of {size} pairs is no pair at all: raise it")
    mask[random_stream(0, HELD_OUT, size).permutation(size)[:count]] = True
    return mask


def seed_count(batch_size: int, seed_fraction: float, p: int) -> int:
    """Returns S such that S = seed_fraction of the base samples and base + S p = batch_size, rounded down."""
    return int(seed_fraction * batch_size / (1 + seed_fraction * p))


class Sampler:
    """`sampler(step)` is the BatchPlan of that step (section 3.3 and algorithm 3 of arXiv 2305.05208).

    `size` is N, the pairs in the corpus. Arm `control` draws from the whole corpus, `cleaned` leaves noise targets out, and `helip` adds
    hard pairs (and leaves noise out if `drop_noise`). `keep`, [N] bool, is what may be drawn at all. All arms have the same `batch_size`.
    A drawn hard pair that the batch already holds is used where it stands; the row so spared goes to a further base sample.

    `role` is that of the hard pairs. With `batch` they are rows like others. With `negatives` only their captions take part, beside the
    batch; all rows are base samples, to their augmentation those of arm `control` on the same population.

    `soft` draws base samples in proportion to a score in place of once an epoch each (soft cap sampling, FLYT, arXiv 2503.08805), every
    epoch afresh; the batches stay a pure function of (seed, step).

    HelipError is raised where the arm lacks pairs, where pairs or selection are of another corpus, and where the batch is too large.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        pairs: HardPairs | None = None,
        arm: Literal["control", "cleaned", "helip"] = "helip",
        seed_fraction: float = 1.0,
        p: int = 1,
        drop_noise: bool = True,
        keep: np.ndarray | None = None,
        role: Literal["batch", "negatives"] = "batch",
        soft: Soft | None = None,
    ):
        if arm != "control" and pairs is None:
            raise HelipError(f"arm '{arm}' needs a pair set: mine one, or train the arm 'control'")
        if pairs is not None and len(pairs) != size:
            raise HelipError(f"the pair set was mined on {len(pairs)} pairs and the corpus has {size}: mine this corpus again")
        keep = np.ones(size, bool) if keep is None else keep.copy()
        if len(keep) != size:
            raise HelipError(f"the selection is of {len(keep)} pairs and the corpus has {size}: select from this corpus again")
        if pairs is not None and (arm == "cleaned" or (arm == "helip" and drop_noise)):
            keep &= ~np.asarray(pairs.noise)
        self._keep = None if keep.all() else keep
        self._population = np.flatnonzero(keep)
        if batch_size > len(self._population):
            raise HelipError(f"a batch of {batch_size} is larger than the {len(self._population)} pairs left to train on: lower batch_size")
        self.size, self.batch_size, self.seed, self.p = size, batch_size, seed, p
        self._pairs, self._beside = pairs, arm == "helip" and role == "negatives"
        rows = 0 if self._beside else p  # of the batch, that the hard pairs of a seed take
        self._seeds = seed_count(batch_size, seed_fraction, rows) if arm == "helip" else 0
        self._base = batch_size - self._seeds * rows
        self._epoch, self._order = -1, np.zeros(0, np.int64)
        self._soft = soft
        if soft is not None and len(soft.logits) != size:
            raise HelipError(f"the scores are of {len(soft.logits)} pairs and the corpus has {size}: select from this corpus again")
        weights = None if soft is None else np.exp(soft.logits[self._population] - soft.logits[self._population].max())
        self._shares = None if weights is None else np.cumsum(weights) / weights.sum()

    @property
    def steps_per_epoch(self) -> int:
        """This is the number of steps in which the base samples see the population once.

        The few that fill no batch wait for the next permutation.
        """
        return len(self._population) // self._base

    def __call__(self, step: int) -> BatchPlan:
        rng = random_stream(self.seed, BASE, step)
        row_of = {i: row for row, i in enumerate(self._base_ids(step).tolist())}
        seeds, hard, captions = self._draw_hard(random_stream(self.seed, BESIDE, step) if self._beside else rng, row_of)
        self._fill(rng, row_of)
        ids = np.fromiter(row_of, np.int64)[: self.batch_size]  # captions beside the batch come after it
        return BatchPlan(ids, seeds, hard, rng.integers(0, 2**63 - 1, self.batch_size), captions)

    def _base_ids(self, step: int) -> np.ndarray:
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, order = epoch, self._ordered(epoch)
            self._order = order.astype(np.int32 if self.size < 2**31 else np.int64)
        return self._population[self._order[place * self._base : (place + 1) * self._base]]

    def _ordered(self, epoch: int) -> np.ndarray:
        """The base samples of an epoch, as places in the population; those of one batch are all different."""
        if self._soft is None:
            return random_stream(self.seed, EPOCH, epoch).permutation(len(self._population))
        soft, logits, size = self._soft, self._soft.logits[self._population], self.steps_per_epoch * self._base
        return soft_cap_sampling(
            logits, size, penalty=soft.penalty, repeats=soft.repeats, draws=self._base, seed=self.seed, epoch=epoch
        )  # fmt: skip

    def _draw_hard(self, rng: np.random.Generator, row_of: dict[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Seeds are the first base samples with at least p hard pairs; adds what they draw to row_of (id -> position)."""
        seeds, hard, captions = [], [], np.full((self.batch_size, self.p if self._beside else 0), -1, np.int64)
        if self._seeds:
            draws = rng.integers(0, 2**62, (self._base, self.p)).tolist()
            for row, i in enumerate(list(row_of)):
                candidates = self._hard_pairs(i)
                if len(candidates) < self.p:
                    continue
                drawn = [int(candidates[c]) for c in choose(draws[row], len(candidates))]
                if self._beside:
                    new = [j for j in drawn if j not in row_of]
                    captions[row, : len(new)] = new
                seeds.append(row)
                hard.append([row_of.setdefault(j, len(row_of)) for j in drawn])
                if len(seeds) == self._seeds:
                    break
        return np.array(seeds, np.int64), np.array(hard, np.int64).reshape(-1, self.p), captions

    def _hard_pairs(self, i: int) -> np.ndarray:
        assert self._pairs is not None  # the arm helip alone draws hard pairs
        candidates = self._pairs.hard(i)
        return candidates if self._keep is None else candidates[self._keep[candidates]]

    def _fill(self, rng: np.random.Generator, row_of: dict[int, int]) -> None:
        while len(row_of) < self.batch_size:
            if self._shares is None:
                places = rng.integers(0, len(self._population), self.batch_size)
            else:
                places = np.searchsorted(self._shares, rng.random(self.batch_size), side="right").clip(max=len(self._population) - 1)
            for i in self._population[places].tolist():
                row_of.setdefault(i, len(row_of))
                if len(row_of) == self.batch_size:
                    break


def choose(draws_P: list[int], n: int) -> list[int]:
    """Returns p different numbers below n, uniformly, from p uniform draws far larger than n.

    The t-th draw picks among those not picked yet.
    """
    picked: list[int] = []
    for t, draw in enumerate(draws_P):
        pick = draw % (n - t)
        for before in sorted(picked):
            pick += pick >= before
        picked.append(pick)
    return picked
