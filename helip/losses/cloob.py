"""CLOOB: InfoLOOB over embeddings retrieved from a modern Hopfield network (arXiv 2110.11316, section 3).

    U_x = images retrieved with images,  U_y = images retrieved with texts   (the batch's images are the memory)
    V_y = texts retrieved with texts,    V_x = texts retrieved with images   (the batch's texts are the memory)
    loss = InfoLOOB(U_x, U_y) + InfoLOOB(V_y, V_x),
    InfoLOOB(a, b) = -tau mean_i [ <a_i, b_i> / tau - log sum_{j != i} e^{<a_i, b_j> / tau} ]

The factor tau is the released code's.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def hopfield_retrieval(query_BD: Tensor, memory_ND: Tensor, beta: float) -> Tensor:
    """Takes one update step of the continuous Hopfield network and normalises it: softmax(beta q K^T) K (arXiv 2110.11316, section 3).

    Queries [B, D] and memory [N, D] are unit norm, and so are the rows [B, D] that it returns.
    """
    return normalize((beta * query_BD @ memory_ND.T).softmax(1) @ memory_ND, dim=1)


def info_loob(anchor_BD: Tensor, other_BD: Tensor, inverse_temperature: float) -> Tensor:
    """Returns InfoNCE with the positive left out of the denominator, as a scalar that may be negative (arXiv 2110.11316, section 3).

    The features [B, D] are unit norm and B is at least 2.
    """
    logits_BB = inverse_temperature * anchor_BD @ other_BD.T
    own_BB = torch.eye(len(logits_BB), dtype=torch.bool, device=logits_BB.device)
    negatives_B = logits_BB.masked_fill(own_BB, -torch.inf).logsumexp(1)
    return (negatives_B - logits_BB.diagonal()).mean() / inverse_temperature


def cloob_loss(
    image_features_BD: Tensor, text_features_BD: Tensor, inverse_temperature: float = 30.0, hopfield_beta: float = 8.0
) -> Tensor:
    """Returns the CLOOB loss of a batch of at least two pairs with unit-norm features, as a scalar (arXiv 2110.11316, section 3).

    The temperature is fixed and never learnt.
    """
    image, text = image_features_BD, text_features_BD
    image_by_image, image_by_text = (hopfield_retrieval(query, image, hopfield_beta) for query in (image, text))
    text_by_text, text_by_image = (hopfield_retrieval(query, text, hopfield_beta) for query in (text, image))
    return info_loob(image_by_image, image_by_text, inverse_temperature) + info_loob(text_by_text, text_by_image, inverse_temperature)
