"""HN-NCE, importance-weighted contrastive learning of DiHT: arXiv 2301.02280.

    -log e^{l_ii} / (alpha e^{l_ii} + sum_{j != i} w_ij e^{l_ij}),   w_ij = (B - 1) e^{beta l_ij} / sum_{k != i} e^{beta l_ik}

with l = logit_scale x cosine, in both directions. alpha 1, beta 0 is InfoNCE.
"""

import math

import torch
from torch import Tensor


def _one_way(logits_BB: Tensor, alpha: float, beta: float) -> Tensor:
    own_BB = torch.eye(len(logits_BB), dtype=torch.bool, device=logits_BB.device)
    sharpened_BB = (beta * logits_BB).masked_fill(own_BB, -torch.inf)
    log_w_BB = math.log(len(logits_BB) - 1) + sharpened_BB - sharpened_BB.logsumexp(1, keepdim=True)
    negatives_B = (logits_BB + log_w_BB).logsumexp(1)
    positives_B = logits_BB.diagonal()
    if alpha == 0:
        return (negatives_B - positives_B).mean()
    return (torch.logaddexp(positives_B + math.log(alpha), negatives_B) - positives_B).mean()


def hn_nce_of(logits_BB: Tensor, alpha: float, beta: float) -> Tensor:
    """Returns HN-NCE over logits [B, B] that are already there, half of each direction, as a scalar (arXiv 2301.02280).

    The logits are cosines times the logit scale and B is at least 2. `alpha` weighs the positive in the denominator and `beta` sharpens
    the weights of the negatives; alpha 1 and beta 0 give InfoNCE.
    """
    return (_one_way(logits_BB, alpha, beta) + _one_way(logits_BB.T, alpha, beta)) / 2
