"""CLIP: symmetric InfoNCE, eq. 1 of arXiv 2305.05208 (arXiv 2103.00020)."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def info_nce(logits_BB: Tensor) -> Tensor:
    """Mean over rows of the cross-entropy whose right column is the row's own: -mean_i log softmax(logits_i)_i."""
    return cross_entropy(logits_BB, torch.arange(len(logits_BB), device=logits_BB.device))


def symmetric_info_nce(logits_BC: Tensor) -> Tensor:
    """Half of each direction: images over texts and texts over images.

    Columns beyond the B-th are captions of no image in the batch, negatives of every image (NegCLIP, arXiv 2210.01936): they enter
    the softmax image to text; text to image is of the B pairs alone.
    """
    return (info_nce(logits_BC) + info_nce(logits_BC[:, : len(logits_BC)].T)) / 2


def clip_loss(image_features_BD: Tensor, text_features_CD: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE of a batch of pairs; features unit norm, row i of one belongs to row i of the other. Returns a scalar.

    Texts beyond the B-th are negatives of every image and have no image themselves: see `symmetric_info_nce`.
    """
    return symmetric_info_nce(logit_scale * image_features_BD @ text_features_CD.T)
