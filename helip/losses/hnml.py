"""HNML, the hard negative margin loss (eq. 6 of arXiv 2305.05208), and HELIP's whole loss (eq. 7).

    l_margin = mean_i mean_j max(0, sim(I_i, T_j) - min_{j' in H_i} sim(I_i, T_j'))

over seeds i and their negatives j. The printed sum runs over all j in B; the positive i and i's own hard pairs must be left out, or
the loss would push the matching text below its hard negatives.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from helip.losses.checks import check_features, check_margin, check_positions, check_scale
from helip.losses.clip import symmetric_info_nce
from helip.losses.precision import single_precision

Positions = Tensor | np.ndarray  # int64 row positions in the batch, as a tensor or as the sampler gives them


def _one_way(similarity_SB: Tensor, seeds_S: Tensor, hard_SP: Tensor, excluded_SB: Tensor | None) -> Tensor:
    absent_SP = hard_SP < 0
    to_hard_SP = similarity_SB.gather(1, hard_SP.clamp(min=0)).masked_fill(absent_SP, torch.inf)
    own_SP = torch.where(absent_SP, seeds_S[:, None], hard_SP)
    negative_SB = torch.ones_like(similarity_SB, dtype=torch.bool).scatter_(1, seeds_S[:, None], False).scatter_(1, own_SP, False)
    if excluded_SB is not None:
        negative_SB = negative_SB & ~excluded_SB
    excess_SB = (similarity_SB - to_hard_SP.amin(1, keepdim=True)).relu() * negative_SB
    return (excess_SB.sum(1) / negative_SB.sum(1).clamp(min=1)).mean()


def margin_of(
    similarity_BB: Tensor, seeds_S: Positions, hard_SP: Positions, symmetric: bool = False, excluded_BB: Tensor | None = None
) -> Tensor:
    """Returns HNML over a similarity matrix that is already there, as a scalar (eq. 6 of arXiv 2305.05208).

    The matrix has images in rows and texts in columns, of cosines or of logits. `seeds_S` are row positions of the seeds.
    `hard_SP` are positions of each seed's hard pairs, -1 where it has fewer than P. `excluded_BB`, bool, are no negatives. HelipError for
    positions outside the batch, such as ids of the corpus, and for a seed among its own hard pairs.

    A seed with no hard pair adds zero. Without seeds the loss is zero and still has a gradient. `symmetric` takes the mean of the loss
    image to text and the loss text to image. Image to text, there may be more columns than rows: these are captions without their images,
    as hard pairs, which `symmetric` does not take, or as further negatives.
    """
    seeds_S, hard_SP = (torch.as_tensor(positions, device=similarity_BB.device) for positions in (seeds_S, hard_SP))
    check_positions(seeds_S, hard_SP, similarity_BB.shape, symmetric)
    if hard_SP.numel() == 0:
        return similarity_BB.sum() * 0
    excluded = None if excluded_BB is None else excluded_BB[seeds_S]
    loss = _one_way(similarity_BB[seeds_S], seeds_S, hard_SP, excluded)
    if not symmetric:
        return loss
    excluded = None if excluded_BB is None else excluded_BB.T[seeds_S]
    return (loss + _one_way(similarity_BB.T[seeds_S], seeds_S, hard_SP, excluded)) / 2


def hard_negative_margin_loss(
    image_features_BD: Tensor, text_features_BD: Tensor, seeds_S: Positions, hard_SP: Positions, symmetric: bool = False
) -> Tensor:
    """Returns the HNML of a batch of pairs with unit-norm features [B, D], as a scalar (eq. 6 of arXiv 2305.05208).

    Seeds and hard pairs are as in `margin_of`.
    """
    check_features(image_features_BD, text_features_BD)
    with single_precision(image_features_BD, text_features_BD) as (image_BD, text_BD):
        return margin_of(image_BD @ text_BD.T, seeds_S, hard_SP, symmetric)


def helip_loss(
    image_features_BD: Tensor,
    text_features_BD: Tensor,
    logit_scale: Tensor | float,
    seeds_S: Positions,
    hard_SP: Positions,
    gamma: float = 1.0,
    symmetric: bool = False,
    margin_on: Literal["cosines", "logits"] = "cosines",
) -> Tensor:
    """Returns CLIP over the whole batch plus gamma times the margin of its seeds, as a scalar (eq. 7 of arXiv 2305.05208).

    Both come from one similarity matrix. The features [B, D] are unit norm; `seeds_S` and `hard_SP` are row positions in the batch as in
    `margin_of`. `margin_on` logits takes the margin over the matrix that CLIP's loss has, cosines times the logit scale (one reading of
    section 3.3).
    """
    check_features(image_features_BD, text_features_BD)
    check_scale(logit_scale)
    check_margin(gamma, symmetric, margin_on)
    with single_precision(image_features_BD, text_features_BD) as (image_BD, text_BD):
        similarity_BB = image_BD @ text_BD.T
        logits_BB = logit_scale * similarity_BB
        margin = margin_of(logits_BB if margin_on == "logits" else similarity_BB, seeds_S, hard_SP, symmetric)
        return symmetric_info_nce(logits_BB) + gamma * margin
