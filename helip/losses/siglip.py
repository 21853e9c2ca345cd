"""SigLIP: the sigmoid loss over all pairs of a batch (arXiv 2303.15343, algorithm 1).

-1/B sum_ij log sigmoid(z_ij (t cos(I_i, T_j) + b)),   z_ij = 1 where i = j, else -1
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def sigmoid_of(logits_BB: Tensor) -> Tensor:
    """Returns the sigmoid loss as a scalar, the double sum divided by B (arXiv 2303.15343, algorithm 1).

    `logits_BB` are cosines times the logit scale, plus the logit bias. Row i of the images belongs to column i of the texts; columns
    beyond the B-th are captions of no image in the batch.
    """
    belongs_BB = torch.eye(*logits_BB.shape, dtype=torch.bool, device=logits_BB.device)
    return -logsigmoid(torch.where(belongs_BB, logits_BB, -logits_BB)).sum() / len(logits_BB)
