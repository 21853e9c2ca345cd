"""The concepts of a world: a long tail grown by one-attribute changes, so that most have near neighbours."""

import functools

import numpy as np

from helip.synthetic import vocabulary as v
from helip.synthetic.world import Habits, World


def generator(*entropy: int) -> np.random.Generator:
    """Returns a generator of random numbers that are a pure function of its arguments."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


@functools.lru_cache(maxsize=8)
def grow(world: World) -> np.ndarray:
    """Returns [world.concepts, 11] int8 attribute values, all different; row = concept id = frequency rank. The first 72 are one of each
    species.
    """
    rng, habits = generator(world.seed, 101), world.habits
    rows = [_root(habits, rng, species) for species in rng.permutation(v.SIZES[v.FAMILY] * v.SIZES[v.PART])]
    seen = {tuple(r) for r in rows}
    while len(rows) < world.concepts:
        child = changed(habits, rng, rows[rng.integers(len(rows))])
        if tuple(child) not in seen:
            seen.add(tuple(child))
            rows.append(child)
    concepts = np.array(rows, np.int8)
    concepts.setflags(write=False)
    return concepts


def _root(habits: Habits, rng: np.random.Generator, species: int) -> list[int]:
    row = [int(rng.integers(size)) for size in v.SIZES]
    row[v.FAMILY], row[v.PART] = divmod(int(species), v.SIZES[v.PART])
    row[v.COUNT] = int(rng.choice(v.SIZES[v.COUNT], p=habits.count_shares))
    if rng.random() >= habits.second_share:
        row[v.SECOND_FAMILY :] = [v.ABSENT] * 4
    return _legal(rng, row)


def changed(habits: Habits, rng: np.random.Generator, parent: list[int]) -> list[int]:
    """Returns a copy that differs in one attribute; gaining or losing the second object is one such change."""
    row, has_second = list(parent), parent[v.RELATION] != v.ABSENT
    if rng.random() < habits.second_change:
        if has_second != (rng.random() < habits.second_share):
            row[v.SECOND_FAMILY :] = [v.ABSENT] * 4 if has_second else [int(rng.integers(size)) for size in v.SIZES[v.SECOND_FAMILY :]]
        return _legal(rng, row)
    which = int(rng.integers(v.RELATION + 1 if has_second else v.SECOND_FAMILY))
    row[which] = int(rng.choice(v.SIZES[v.COUNT], p=habits.count_shares)) if which == v.COUNT else int(rng.integers(v.SIZES[which]))
    return _legal(rng, row)


def _legal(rng: np.random.Generator, row: list[int]) -> list[int]:
    """Accent and colour differ, and so do the two objects in kind and colour: otherwise words would not fit what is seen."""
    while row[v.ACCENT] == row[v.COLOUR]:
        row[v.ACCENT] = int(rng.integers(v.SIZES[v.ACCENT]))
    while row[v.SECOND_FAMILY] == row[v.FAMILY]:
        row[v.SECOND_FAMILY] = int(rng.integers(v.SIZES[v.SECOND_FAMILY]))
    while row[v.SECOND_COLOUR] == row[v.COLOUR]:
        row[v.SECOND_COLOUR] = int(rng.integers(v.SIZES[v.SECOND_COLOUR]))
    return row


@functools.lru_cache(maxsize=8)
def cumulative(world: World) -> np.ndarray:
    """Returns the cumulative frequencies of the concepts, [world.concepts]."""
    frequency = (np.arange(world.concepts) + world.habits.zipf_offset) ** -world.habits.zipf_power
    total = np.cumsum(frequency / frequency.sum())
    total.setflags(write=False)
    return total


def drawn(world: World, u: np.ndarray | float) -> np.ndarray:
    """Returns the concept ids for uniform numbers in [0, 1)."""
    return np.minimum(np.searchsorted(cumulative(world), u, side="right"), world.concepts - 1)
