"""Cosines in single precision: half of it is off by more than a margin of near-equal pairs, and autocast would multiply in half."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def single_precision(*features: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Gives the features with half precision made single, and switches autocast off for as long as the context lasts."""
    with torch.autocast(features[0].device.type, enabled=False):
        yield tuple(rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows for rows in features)
