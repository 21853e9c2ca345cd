"""Random numbers that are a pure function of a sample's seed: the same on any device, in any batch, after any restart."""

import torch
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = (c - (1 << 64) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))  # as int64


def _shifted(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)  # int64 has no logical shift


def _mixed(z: Tensor) -> Tensor:
    """splitmix64's finaliser (Steele, Lea and Flood, 2014); int64 products wrap."""
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def uniform(seeds_B: Tensor, columns: int, stream: int) -> Tensor:
    """[B, columns] float32 in [0, 1): column c of a seed in a stream is always the same number. Streams are for different purposes."""
    column_C = torch.arange(1, columns + 1, device=seeds_B.device)
    return _shifted(_mixed(_mixed(seeds_B * _GOLDEN + stream)[:, None] + column_C * _GOLDEN), 40).float() / (1 << 24)
