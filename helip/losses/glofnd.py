"""GloFND: false negatives of the whole corpus, found by a threshold for each anchor (arXiv 2502.20612).

    min over t_i of  alpha t_i + mean_j max(0, s_ij - t_i),   whose gradient is  alpha - share of negatives with s_ij > t_i

so that t_i becomes the (1 - alpha) quantile of the similarities of anchor i and its negatives, although a batch shows only some of them.
"""

import torch
from torch import Tensor


@torch.no_grad()
def updated_thresholds(threshold_B: Tensor, similarity_BC: Tensor, negative_BC: Tensor, alpha: float, rate: float) -> Tensor:
    """Returns the thresholds [B] after one step of gradient descent on a batch of similarities, within -1 and 1.

    `negative_BC`, bool, says which columns are negatives of a row. An anchor without any keeps its threshold.
    """
    above_BC = (similarity_BC > threshold_B[:, None]) & negative_BC
    count_B = negative_BC.sum(1)
    moved_B = threshold_B - rate * (alpha - above_BC.sum(1) / count_B.clamp(min=1))
    return torch.where(count_B > 0, moved_B.clamp(-1, 1), threshold_B)
