"""What CyCLIP adds to CLIP: in-modal and cross-modal cyclic consistency, each with its weight (arXiv 2205.14459, section 3).

    in-modal     1/B sum_jk (<I_j, I_k> - <T_j, T_k>)^2
    cross-modal  1/B sum_jk (<I_j, T_k> - <I_k, T_j>)^2

The paper and its code (`.square().mean() * batch_size`) divide the double sum by B, not by B^2.
"""

from torch import Tensor


def in_modal_loss(image_features_BD: Tensor, text_features_BD: Tensor) -> Tensor:
    """Returns how far the images' cosines among themselves are from the texts', as a scalar (arXiv 2205.14459, section 3).

    The features [B, D] are unit norm. The sum over all pairs is divided by B.
    """
    gap_BB = image_features_BD @ image_features_BD.T - text_features_BD @ text_features_BD.T
    return gap_BB.square().sum() / len(gap_BB)


def cross_modal_loss(similarity_BB: Tensor) -> Tensor:
    """Returns how far the image-to-text cosine matrix [B, B] is from symmetric, as a scalar (arXiv 2205.14459, section 3).

    The sum over all pairs is divided by B.
    """
    return (similarity_BB - similarity_BB.T).square().sum() / len(similarity_BB)
