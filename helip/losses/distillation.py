"""Contrastive distillation: a refined model stays near its start (ZSCL, arXiv 2303.06628).

    l = -1/2 sum over both directions of mean_i sum_j softmax(l0_i)_j log softmax(l_i)_j  -  the same of l0 itself

with l and l0 the logits of the model and of its start over one batch: the Kullback-Leibler divergence of the model's softmax from the
start's, zero where the model is the start.
"""

from torch import Tensor
from torch.nn.functional import kl_div


def distillation(logits_BB: Tensor, start_logits_BB: Tensor) -> Tensor:
    """Returns the mean divergence of both directions, images over texts and texts over images, as a scalar.

    Rows are images and columns their captions. The start's logits take no gradient.
    """
    start_logits_BB = start_logits_BB.detach()
    ways = ((logits_BB, start_logits_BB), (logits_BB.T, start_logits_BB.T))
    losses = [kl_div(own.log_softmax(1), start.log_softmax(1), reduction="batchmean", log_target=True) for own, start in ways]
    return (losses[0] + losses[1]) / 2
