"""CLIP: symmetric InfoNCE, eq. 1 of arXiv 2305.05208 (arXiv 2103.00020)."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from helip.losses.checks import check_features, check_scale
from helip.losses.precision import single_precision


def info_nce(logits_BB: Tensor, excluded_BB: Tensor | None = None) -> Tensor:
    """Returns the mean over rows of the cross-entropy whose right column is the row's own: -mean_i log softmax(logits_i)_i.

    `logits_BB` is [B, C] with C at least B; columns beyond the B-th are negatives only. This is one direction of eq. 1 of arXiv
    2305.05208. `excluded_BB`, bool of the same shape, are negatives that are left out of the softmax; a row's own column stays in.
    """
    if excluded_BB is not None:
        own_BB = torch.eye(*logits_BB.shape, dtype=torch.bool, device=logits_BB.device)
        logits_BB = logits_BB.masked_fill(excluded_BB & ~own_BB, -torch.inf)
    return cross_entropy(logits_BB, torch.arange(len(logits_BB), device=logits_BB.device))


def symmetric_info_nce(logits_BC: Tensor, excluded_BC: Tensor | None = None, excluded_text_BB: Tensor | None = None) -> Tensor:
    """Returns half of each direction of InfoNCE, images over texts and texts over images (eq. 1 of arXiv 2305.05208).

    `logits_BC` are cosines times the logit scale. Columns beyond the B-th are captions of no image in the batch, which are negatives of
    every image (NegCLIP, arXiv 2210.01936). They enter the softmax from image to text; text to image is of the B pairs alone.

    `excluded_BC` and `excluded_text_BB` are bool, with an image in each row and with a caption in each row: negatives that are left out.
    """
    to_text, to_image = info_nce(logits_BC, excluded_BC), info_nce(logits_BC[:, : len(logits_BC)].T, excluded_text_BB)
    return (to_text + to_image) / 2


def clip_loss(image_features_BD: Tensor, text_features_CD: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Returns the symmetric InfoNCE of a batch of pairs as a scalar (eq. 1 of arXiv 2305.05208; arXiv 2103.00020).

    The features are unit norm, and row i of one belongs to row i of the other. Texts beyond the B-th are negatives of every image and
    have no image themselves: see `symmetric_info_nce`.
    """
    check_features(image_features_BD, text_features_CD)
    check_scale(logit_scale)
    with single_precision(image_features_BD, text_features_CD) as (image_BD, text_CD):
        return symmetric_info_nce(logit_scale * image_BD @ text_CD.T)
