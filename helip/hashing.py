"""Random numbers that are a pure function of a seed: splitmix64 (Steele, Lea and Flood, OOPSLA 2014), for NumPy arrays and torch tensors.

The arithmetic is that of int64, whose products and sums wrap: both libraries give the same bits, on any device.
"""

from typing import Any, TypeVar

import numpy as np

Integers = TypeVar("Integers", bound=Any)  # a NumPy array or a torch tensor of int64
GOLDEN, _FIRST, _SECOND = (c - (1 << 64) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))  # as int64


def shifted(z: Integers, bits: int) -> Integers:
    """Returns z shifted right by `bits`, zeros coming in from the left: int64 has no logical shift."""
    result: Integers = (z >> bits) & ((1 << (64 - bits)) - 1)
    return result


def mixed(z: Integers) -> Integers:
    """Returns splitmix64's finaliser of each number: 64 bits that look random, the same for the same z. The shape is that of z."""
    once: Integers = (z ^ shifted(z, 30)) * _FIRST
    twice: Integers = (once ^ shifted(once, 27)) * _SECOND
    result: Integers = twice ^ shifted(twice, 31)
    return result


def uniforms(seeds_B: np.ndarray, count: int, first: int = 0) -> np.ndarray:
    """Returns [B, count] float64 numbers in [0, 1): column c is splitmix64's output number first + c + 1 from each seed."""
    columns = np.arange(first + 1, first + count + 1, dtype=np.int64) * np.int64(GOLDEN)
    return shifted(mixed(seeds_B.astype(np.int64)[:, None] + columns), 11).astype(np.float64) * 2.0**-53
