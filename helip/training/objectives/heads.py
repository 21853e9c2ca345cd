"""Heads that self-supervision trains and export drops. Their batch normalisation sees the whole batch, as synchronised ones do."""

from itertools import pairwise

from torch import nn


def mlp(*widths: int, normalised_output: bool = False) -> nn.Sequential:
    """Linear layers of the given widths with batch normalisation and ReLU between them, and perhaps normalisation at the end.

    A linear layer before a normalisation has no bias: it would be subtracted again.
    """
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following, bias=False), nn.BatchNorm1d(following), nn.ReLU(inplace=True)]
    if normalised_output:
        return nn.Sequential(*layers[:-1])
    return nn.Sequential(*layers[:-3], nn.Linear(*widths[-2:]))
