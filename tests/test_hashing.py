"""splitmix64 against its published definition, and NumPy's against torch's."""

import numpy as np
import torch

from helip.hashing import GOLDEN, mixed, shifted, uniforms
from helip.training.objectives.captions import uniform

EDGES = np.array([0, 1, -1, 2**63 - 1, -(2**63), GOLDEN], np.int64)
MASK = (1 << 64) - 1


def by_definition(seed: int, n: int) -> int:
    """The n-th output (from 1) of splitmix64 from a seed, in Python's own integers."""
    z = (seed + n * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_outputs_are_splitmix64s():
    outputs = mixed(np.arange(1, 6, dtype=np.int64) * np.int64(GOLDEN) + 1234567).astype(np.uint64)
    # of the seed 1234567: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    assert outputs.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def test_numpy_and_torch_give_the_same_bits():
    seeds = np.concatenate([EDGES, np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 1000)])
    assert np.array_equal(mixed(seeds), mixed(torch.from_numpy(seeds)).numpy())
    for bits in (1, 11, 30, 63):
        assert np.array_equal(shifted(seeds, bits), shifted(torch.from_numpy(seeds), bits).numpy())
        assert np.array_equal(shifted(seeds, bits).astype(np.uint64), seeds.astype(np.uint64) >> np.uint64(bits))


def test_uniforms_are_the_top_bits_of_the_outputs():
    drawn = uniforms(EDGES, 5, first=2)
    for seed, row in zip(EDGES.tolist(), drawn, strict=True):
        assert row.tolist() == [(by_definition(seed, n) >> 11) * 2.0**-53 for n in range(3, 8)]


def test_draws_for_captions_are_made_of_two_rounds():
    drawn = uniform(torch.from_numpy(EDGES), 4, stream=3)
    for seed, row in zip(EDGES.tolist(), drawn, strict=True):
        inner = by_definition((seed * 0x9E3779B97F4A7C15 + 3 - 0x9E3779B97F4A7C15) & MASK, 1)
        assert row.tolist() == [(by_definition(inner, n) >> 40) / 2**24 for n in range(1, 5)]
