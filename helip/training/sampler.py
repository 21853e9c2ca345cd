"""Which pairs are in the batch of a step: a pure function of (seed, step), so that nothing needs saving and nothing can be lost.

Base samples B run through a fresh permutation of the corpus each epoch. Some of them are seeds B', and each seed i brings p pairs
drawn uniformly without replacement from its hard pairs H_i (section 3.3 and algorithm 3 of arXiv 2305.05208). numpy only: usable
in anyone's training loop.

    sampler = Sampler(len(corpus), batch_size=512, seed=0, pairs=PairSet.open("pairs"))
    batch = sampler(step)  # batch.ids: 512 corpus ids; batch.ids[batch.hard[s]] are hard pairs of batch.ids[batch.seeds[s]]
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Protocol

import numpy as np

from helip.errors import HelipError
from helip.selection.soft import Soft, soft_cap_sampling
from helip.training.checks import as_array, check_arguments, check_pairs, check_population, longest_list
from helip.training.duplicates import Duplicates

BASE, EPOCH, HELD_OUT, BESIDE = 0, 1, 2, 3  # purposes: each has random streams of its own
NONE = np.zeros((0, 2), np.int64)


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
    hard: np.ndarray  # [S, P] int64, -1 where a seed has fewer than P
    sample_seeds: np.ndarray  # [B] int64: of everything random about a sample
    captions: np.ndarray  # [B, P] int64 with role negatives, else [B, 0]: ids whose captions a row brings, all different, none in `ids`
    equal: np.ndarray = field(default_factory=lambda: NONE)  # [E, 2] int64: rows and columns of similarities where equal pairs meet


class Rows(dict[int, int]):
    """The rows of a batch that is being put together: id -> position. groups: [N], of which a batch may hold one each; None: any."""

    def __init__(self, groups: np.ndarray | None):
        super().__init__()
        self._groups, self._taken = groups, set[int]()

    def may_hold(self, i: int) -> bool:
        """Returns whether the pair is there, or no pair equal to it is."""
        return self._groups is None or i in self or int(self._groups[i]) not in self._taken

    def place(self, i: int) -> int:
        """Returns the position of a pair, which is added at the end; -1 where a pair equal to it is there."""
        if i in self:
            return self[i]
        if not self.may_hold(i):
            return -1
        if self._groups is not None:
            self._taken.add(int(self._groups[i]))
        self[i] = len(self)
        return self[i]


def random_stream(seed: int, purpose: int, index: int) -> np.random.Generator:
    """Returns the random numbers of (seed, purpose, index): they are counter-based, so any of them is had without those before it."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, index, purpose]))


def held_out_count(size: int, share: float) -> int:
    """Returns how many pairs of a corpus are kept for validation. HelipError where they are less than two: one is told from no other."""
    count = round(share * size)
    if count < 2:
        pairs = "one pair, which is told from no other" if count else "no pair at all"
        raise HelipError(f"early_stopping: held_out {share:g} of {size} pairs is {pairs}: raise it")
    return count


def held_out_mask(size: int, share: float) -> np.ndarray:
    """Returns the share of a corpus kept for validation, [N] bool; it is the same in every run on that corpus.

    HelipError is raised as by `held_out_count`.
    """
    mask = np.zeros(size, bool)
    mask[random_stream(0, HELD_OUT, size).permutation(size)[: held_out_count(size, share)]] = True
    return mask


def seed_count(batch_size: int, seed_fraction: float, p: int) -> int:
    """Returns S such that S = seed_fraction of the base samples and base + S p = batch_size, rounded down.

    The share is taken as it is written: 0.15 is 3 / 20, of which a product of floats may fall just short.
    """
    share = Fraction(str(seed_fraction))
    return int(share * int(batch_size) / (1 + share * int(p)))


class Sampler:
    """`sampler(step)` is the BatchPlan of that step (section 3.3 and algorithm 3 of arXiv 2305.05208).

    `size` is N, the pairs in the corpus. Arm `control` draws from the whole corpus, `cleaned` leaves noise targets out, and `helip` adds
    hard pairs (and leaves noise out if `drop_noise`). `keep`, [N] bool, is what may be drawn at all. All arms have the same `batch_size`.
    A drawn hard pair that the batch already holds is used where it stands; the row so spared goes to a further base sample.

    `role` is that of the hard pairs. With `batch` they are rows like others. With `negatives` only their captions take part, beside the
    batch; all rows are base samples, to their augmentation those of arm `control` on the same population.

    `soft` draws base samples in proportion to a score in place of once an epoch each (soft cap sampling, FLYT, arXiv 2503.08805), every
    epoch afresh; the batches stay a pure function of (seed, step).

    `duplicates` says which pairs are equal, and `separate` keeps equal ones out of each other's batch: the row goes to a further base
    sample. Otherwise the plan's `equal` names them, for a loss that masks them.

    `len(sampler)` is an epoch's steps, and `for batch in sampler` yields the batches of epoch 0. HelipError is raised for an argument of
    another type or out of its range, where the arm lacks pairs, where pairs or selection are of another corpus, and where fewer pairs are
    left than a batch holds.
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
        duplicates: Duplicates | None = None,
        separate: bool = False,
    ):
        if pairs is not None:
            check_pairs(pairs)
        keep = as_array(keep)
        check_arguments(size, batch_size, seed, arm, role, p, seed_fraction, keep, drop_noise=drop_noise, separate=separate)
        for name, value, kind in (("soft", soft, Soft), ("duplicates", duplicates, Duplicates)):
            if value is not None and not isinstance(value, kind):
                raise HelipError(f"{name}: expected a {kind.__name__} or None, got {type(value).__name__}")
        if arm != "control" and pairs is None:
            raise HelipError(f"arm '{arm}' needs a pair set: mine one, or train the arm 'control'")
        if pairs is not None and len(pairs) != size:
            raise HelipError(f"the pair set was mined on {len(pairs)} pairs and the corpus has {size}: mine this corpus again")
        keep = np.ones(size, bool) if keep is None else keep.copy()
        selected, drops = int(keep.sum()), pairs is not None and (arm == "cleaned" or (arm == "helip" and drop_noise))
        if pairs is not None and drops:
            keep &= ~np.asarray(pairs.noise)
        self._keep = None if keep.all() else keep
        self._population = np.flatnonzero(keep)
        self._groups = None if duplicates is None or not separate else duplicates.groups
        check_population(batch_size, self._population, size, selected, self._groups)
        if arm == "helip" and seed_fraction > 0 and p > (longest := longest_list(pairs)):
            raise HelipError(f"p = {p}: no list of the pair set holds more than {longest} hard pairs: lower p, or mine with a larger k")
        self.size, self.batch_size, self.seed, self.p = size, batch_size, seed, p
        self._pairs, self._beside = pairs, arm == "helip" and role == "negatives"
        rows = 0 if self._beside else p  # of the batch, that the hard pairs of a seed take
        self._seeds = seed_count(batch_size, seed_fraction, rows) if arm == "helip" else 0
        self._base = batch_size - self._seeds * rows
        self._epoch, self._order = -1, np.zeros(0, np.int64)
        self._soft, self._duplicates = soft, duplicates
        if soft is not None and len(soft.logits) != size:
            raise HelipError(f"the scores are of {len(soft.logits)} pairs and the corpus has {size}: select from this corpus again")
        weights = None if soft is None else np.exp(soft.logits[self._population] - soft.logits[self._population].max())
        self._shares = None if weights is None else np.cumsum(weights) / weights.sum()

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[BatchPlan]:
        return (self(step) for step in range(len(self)))

    @property
    def steps_per_epoch(self) -> int:
        """This is the number of steps in which the base samples see the population once.

        The few that fill no batch wait for the next permutation.
        """
        return len(self._population) // self._base

    def __call__(self, step: int) -> BatchPlan:
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 0:
            raise HelipError(f"step = {step!r}: batches are numbered by integers from 0 on")
        rng, row_of = random_stream(self.seed, BASE, int(step)), Rows(self._groups)
        for i in self._base_ids(int(step)).tolist():
            row_of.place(i)
        if self._beside:
            self._fill(rng, row_of)  # captions beside the batch come after its rows
        seeds, hard, captions = self._draw_hard(random_stream(self.seed, BESIDE, step) if self._beside else rng, row_of)
        self._fill(rng, row_of)
        ids = np.fromiter(row_of, np.int64)[: self.batch_size]
        sample_seeds = rng.integers(0, 2**63 - 1, self.batch_size)
        equal = NONE if self._duplicates is None else self._duplicates.positions(ids, captions)
        return BatchPlan(ids, seeds, hard, sample_seeds, captions, equal)

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

    def _draw_hard(self, rng: np.random.Generator, row_of: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
                    new = [j for j in drawn if j not in row_of and row_of.place(j) >= 0]
                    captions[row, : len(new)] = new
                seeds.append(row)
                hard.append([row_of.place(j) for j in drawn])  # -1: equal to a pair that is there
                if len(seeds) == self._seeds:
                    break
        return np.array(seeds, np.int64), np.array(hard, np.int64).reshape(-1, self.p), captions

    def _hard_pairs(self, i: int) -> np.ndarray:
        assert self._pairs is not None  # the arm helip alone draws hard pairs
        candidates = self._pairs.hard(i)
        return candidates if self._keep is None else candidates[self._keep[candidates]]

    def _fill(self, rng: np.random.Generator, row_of: Rows) -> None:
        while len(row_of) < self.batch_size:
            if self._shares is None:
                places = rng.integers(0, len(self._population), self.batch_size)
            else:
                places = np.searchsorted(self._shares, rng.random(self.batch_size), side="right").clip(max=len(self._population) - 1)
            for i in self._population[places].tolist():
                row_of.place(i)
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
