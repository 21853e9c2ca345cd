"""The pieces of DeCLIP (arXiv 2110.05208, section 3) beside CLIP: nearest-neighbour text, SimSiam, masked language.

L = 0.4 CLIP (mean over image view x caption view) + 0.2 nearest-neighbour + 0.2 SimSiam + 0.2 masked language
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from helip.losses.clip import clip_loss, info_nce

WEIGHTS = {"clip": 0.4, "nearest": 0.2, "simsiam": 0.2, "masked": 0.2}  # of the terms of L above
MASKED_SHARE = 0.15  # of the words of a caption that are hidden


def multi_view_clip_loss(image_views: Sequence[Tensor], text_views: Sequence[Tensor], logit_scale: Tensor | float) -> Tensor:
    """Returns the mean of CLIP over every pair of an image view and a caption view, as a scalar (arXiv 2110.05208, section 3).

    Each view is [B, D] and unit norm.
    """
    return torch.stack([clip_loss(image, text, logit_scale) for image in image_views for text in text_views]).mean()


@torch.no_grad()
def nearest_texts(text_features_BD: Tensor, queue_QD: Tensor) -> Tensor:
    """Returns for each text the queue entry of largest cosine, [B, D], without a gradient (arXiv 2110.05208, section 3).

    The texts [B, D] and the queue [Q, D] are unit norm; the queue must not be empty.
    """
    return queue_QD[(text_features_BD @ queue_QD.T).argmax(1)]


def nearest_text_loss(image_views: Sequence[Tensor], text_views: Sequence[Tensor], queue_QD: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Returns InfoNCE from images to the nearest queue neighbours of their captions, mean over views, as a scalar (arXiv 2110.05208).

    Only images look for neighbours, as in the released code. Everything is unit norm. An empty queue has no neighbours: the loss is then
    zero and still has a gradient.
    """
    if len(queue_QD) == 0:
        return image_views[0].sum() * 0
    neighbours = [nearest_texts(text, queue_QD) for text in text_views]
    return torch.stack([info_nce(logit_scale * image @ neighbour.T) for image in image_views for neighbour in neighbours]).mean()


def simsiam_loss(predicted_1: Tensor, projected_1: Tensor, predicted_2: Tensor, projected_2: Tensor) -> Tensor:
    """Returns SimSiam's loss as a scalar (arXiv 2011.10566): minus the cosine of each view's prediction and the other's projection.

    All four are [B, D]; the projections are held still. The value is -1 at best.
    """
    first = cosine_similarity(predicted_1, projected_2.detach(), dim=1).mean()
    second = cosine_similarity(predicted_2, projected_1.detach(), dim=1).mean()
    return -(first + second) / 2


def masked_word_losses(logits_NV: Tensor, words_N: Tensor, masked_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the masked language loss sample by sample (arXiv 1810.04805): the summed cross-entropy [B] of a sample's hidden words, and
    their number [B] int64.

    The logits are [N, V] and the words [N] token ids, those where `masked_BL` is true, row by row. Batches are encoded in pieces: sum over
    sum, over any cut of a batch, is the mean over all N.
    """
    each_N = cross_entropy(logits_NV, words_N, reduction="none")
    counts_B = masked_BL.sum(1)
    sample_N = torch.arange(len(counts_B), device=counts_B.device).repeat_interleave(counts_B)
    return each_N.new_zeros(len(counts_B)).index_add(0, sample_N, each_N), counts_B
