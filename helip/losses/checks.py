"""What a loss refuses: features that are not unit norm, and positions that are none in the batch."""

import numpy as np
import torch
from torch import Tensor

from helip.errors import HelipError

LOOSE = 0.02  # how far from 1 half precision brings a norm, and more


@torch.no_grad()
def check_features(image_BD: Tensor, text_CD: Tensor) -> None:
    """Raises HelipError for features that are no [B, D] and [C, D], C at least B, and where the first row of one is not unit norm: a loss
    would be of another temperature, unseen.

    One row is looked at, since a normalisation that is forgotten is missing in all of them.
    """
    for one in (image_BD, text_CD):
        if not isinstance(one, Tensor):
            raise HelipError(f"features: expected torch tensors [B, D], got {type(one).__name__}; a loss of anything else has no gradient")
        if one.ndim != 2 or not len(one):
            raise HelipError(f"features: expected [B, D], a row for each pair of the batch, got {list(one.shape)}")
        norm = float(one[0].float().norm())
        if not abs(norm - 1) < LOOSE and norm == norm:  # NaN is found where the loss is read
            raise HelipError(
                f"features: the first row has norm {norm:.3g}, and the loss takes unit rows: torch.nn.functional.normalize(x, dim=1)"
            )
    (images, width), (texts, other) = image_BD.shape, text_CD.shape
    if width != other:
        raise HelipError(f"features: of images {width} wide and of texts {other}; give both towers' projections to the common space")
    if texts < images:
        raise HelipError(f"features: {images} rows of images and {texts} of texts; row i of both must be pair i")


def check_margin(gamma: float, symmetric: bool, margin_on: str) -> None:
    """Raises HelipError for settings of the margin loss that are none."""
    if isinstance(gamma, bool) or not isinstance(gamma, int | float | np.floating) or not 0 <= gamma < float("inf"):
        raise HelipError(f"gamma = {gamma!r}: expected a weight of at least 0")
    if margin_on not in ("cosines", "logits"):
        raise HelipError(f"margin_on = {margin_on!r}: expected cosines or logits")
    if not isinstance(symmetric, bool):
        raise HelipError(f"symmetric = {symmetric!r}: expected True or False")


def check_scale(logit_scale: Tensor | float) -> None:
    """Raises HelipError for a logit scale that is not one number above 0. A tensor on a GPU is not read, which would stall it."""
    if isinstance(logit_scale, Tensor) and logit_scale.numel() == 1:
        if logit_scale.device.type != "cpu":
            return
        logit_scale = float(logit_scale.detach())
    if isinstance(logit_scale, bool) or not isinstance(logit_scale, int | float | np.floating) or not 0 < logit_scale < float("inf"):
        shape = f"a tensor {list(logit_scale.shape)}" if isinstance(logit_scale, Tensor) else repr(logit_scale)
        raise HelipError(f"logit_scale: expected one number above 0, got {shape}; give model.logit_scale.exp()")


@torch.no_grad()
def check_positions(seeds_S: Tensor, hard_SP: Tensor, shape: torch.Size, symmetric: bool) -> None:
    """Raises HelipError for positions that lie outside a batch of similarities [B, C]: ids of the corpus are no positions. So are captions
    beside the batch in a `symmetric` margin, and a seed that is its own hard pair.
    """
    B, C = shape
    if not seeds_S.numel() and not hard_SP.numel():
        return
    if seeds_S.ndim != 1 or hard_SP.ndim != 2 or len(seeds_S) != len(hard_SP):
        raise HelipError(f"hard: expected [S, P], a row for each of the {len(seeds_S)} seeds [S], got {list(hard_SP.shape)}")
    for name, positions in (("seeds", seeds_S), ("hard", hard_SP)):
        if positions.numel() and positions.dtype not in (torch.int64, torch.int32):
            raise HelipError(f"{name}: expected rows of the batch as int64, got {str(positions.dtype).removeprefix('torch.')}")
    if seeds_S.device.type != "cpu" or not hard_SP.numel():
        return  # asking a GPU would stall it; CUDA's own assertions catch the rest
    for name, positions, least, end in (("seeds", seeds_S, 0, B), ("hard", hard_SP, -1, C)):
        if not (least <= int(positions.min()) and int(positions.max()) < end):
            result = f"{int(positions.min())} to {int(positions.max())}"
            raise HelipError(
                f"{name}: {result} are no positions in a batch of {end}; give rows of the batch (batch.seeds, batch.hard), not ids"
            )
    if bool((hard_SP == seeds_S[:, None]).any()):
        raise HelipError("hard: a seed is its own hard pair; give it others, or -1 where there is none")
    if symmetric and int(hard_SP.max()) >= B:
        raise HelipError("symmetric: captions beside the batch (role negatives) have no image to compare; leave symmetric out")
