"""What a loss refuses: features that are not unit norm, and positions that are none in the batch."""

import numpy as np
import torch
from torch import Tensor

from helip.errors import HelipError

LOOSE = 0.02  # how far from 1 half precision brings a norm, and more


@torch.no_grad()
def check_unit_norm(*features: Tensor) -> None:
    """Raises HelipError for features [B, D] of which the first row is not unit norm: a loss would be of another temperature, unseen.

    One row is looked at, since a normalisation that is forgotten is missing in all of them.
    """
    for one in features:
        if not isinstance(one, Tensor):
            raise HelipError(f"features: expected torch tensors [B, D], got {type(one).__name__}; a loss of anything else has no gradient")
        if one.ndim != 2 or not len(one):
            raise HelipError(f"features: expected [B, D], a row for each pair of the batch, got {list(one.shape)}")
        norm = float(one[0].float().norm())
        if not abs(norm - 1) < LOOSE and norm == norm:  # NaN is found where the loss is read
            raise HelipError(
                f"features: the first row has norm {norm:.3g}, and the loss takes unit rows: torch.nn.functional.normalize(x, dim=1)"
            )


def check_scale(logit_scale: Tensor | float) -> None:
    """Raises HelipError for a logit scale that is not one number above 0. That of a tensor is not asked for, which would stall a GPU."""
    if isinstance(logit_scale, Tensor) and logit_scale.numel() == 1:
        return
    if isinstance(logit_scale, bool) or not isinstance(logit_scale, int | float | np.floating) or not 0 < logit_scale < float("inf"):
        shape = f"a tensor {list(logit_scale.shape)}" if isinstance(logit_scale, Tensor) else repr(logit_scale)
        raise HelipError(f"logit_scale: expected one number above 0, got {shape}; give model.logit_scale.exp()")


@torch.no_grad()
def check_positions(seeds_S: Tensor, hard_SP: Tensor, shape: torch.Size) -> None:
    """Raises HelipError for positions that lie outside a batch of similarities [B, C]: ids of the corpus are no positions."""
    B, C = shape
    if len(seeds_S) != len(hard_SP) or hard_SP.ndim != 2:
        raise HelipError(f"hard: expected [S, P], a row for each of the {len(seeds_S)} seeds, got {list(hard_SP.shape)}")
    if seeds_S.device.type != "cpu":
        return  # asking a GPU would stall it; CUDA's own assertions catch the rest
    for name, positions, least, end in (("seeds", seeds_S, 0, B), ("hard", hard_SP, -1, C)):
        if len(positions) and not (least <= int(positions.min()) and int(positions.max()) < end):
            result = f"{int(positions.min())} to {int(positions.max())}"
            raise HelipError(
                f"{name}: {result} are no positions in a batch of {end}; give rows of the batch (batch.seeds, batch.hard), not ids"
            )
