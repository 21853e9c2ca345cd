"""SimCLR's NT-Xent between two views of the same images (arXiv 2002.05709), which SLIP adds to CLIP (arXiv 2112.12750)."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def simclr_loss(first_BD: Tensor, second_BD: Tensor, temperature: float = 0.1, excluded_BB: Tensor | None = None) -> Tensor:
    """Returns NT-Xent as a scalar: each of the 2 B views must find its partner among the 2 B - 1 others (arXiv 2002.05709).

    The features [B, D] are unit norm, and row i of both is the same image. The value is the mean over views. `excluded_BB`, bool with an
    image in each row, are other images whose two views are no negatives of its own; its partner stays in.
    """
    views_ND = torch.cat([first_BD, second_BD])
    logits_NN = views_ND @ views_ND.T / temperature
    left_out_NN = torch.eye(len(views_ND), dtype=torch.bool, device=views_ND.device)
    if excluded_BB is not None:
        own_BB = torch.eye(len(first_BD), dtype=torch.bool, device=views_ND.device)
        left_out_NN = left_out_NN | (excluded_BB & ~own_BB).tile(2, 2)
    logits_NN = logits_NN.masked_fill(left_out_NN, -torch.inf)
    partner_N = torch.arange(len(views_ND), device=views_ND.device).roll(len(first_BD))
    return cross_entropy(logits_NN, partner_N)
