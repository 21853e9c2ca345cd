"""SLIP: CLIP plus SimCLR (arXiv 2112.12750, section 3)."""

from torch import Tensor

from helip.losses.clip import clip_loss
from helip.losses.simclr import simclr_loss


def slip_loss(
    image_features_BD: Tensor,
    text_features_BD: Tensor,
    logit_scale: Tensor | float,
    first_view_BE: Tensor,
    second_view_BE: Tensor,
    simclr_weight: float = 1.0,
    temperature: float = 0.1,
) -> Tensor:
    """Returns CLIP of the pairs plus SimCLR of two other views of the images, as a scalar (arXiv 2112.12750, section 3).

    The views are outputs of a head, [B, E]. Everything is unit norm.
    """
    contrast = clip_loss(image_features_BD, text_features_BD, logit_scale)
    return contrast + simclr_weight * simclr_loss(first_view_BE, second_view_BE, temperature)
