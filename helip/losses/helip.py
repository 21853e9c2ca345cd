"""HELIP: l_CLIP + gamma l_margin, eq. 7 of arXiv 2305.05208."""

from torch import Tensor

from helip.losses.clip import symmetric_info_nce
from helip.losses.hnml import Positions, margin_of


def helip_loss(
    image_features_BD: Tensor,
    text_features_BD: Tensor,
    logit_scale: Tensor | float,
    seeds_S: Positions,
    hard_SP: Positions,
    gamma: float = 1.0,
    symmetric: bool = False,
) -> Tensor:
    """Returns CLIP over the whole batch plus gamma times the margin of its seeds, as a scalar (eq. 7 of arXiv 2305.05208).

    Both come from one similarity matrix. The features [B, D] are unit norm; `seeds_S` and `hard_SP` are row positions in the batch as in
    `helip.losses.hnml.margin_of`.
    """
    similarity_BB = image_features_BD @ text_features_BD.T
    return symmetric_info_nce(logit_scale * similarity_BB) + gamma * margin_of(similarity_BB, seeds_S, hard_SP, symmetric)
