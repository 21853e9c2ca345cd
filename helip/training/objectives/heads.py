"""Heads that self-supervision trains and export drops. Their batch normalisation sees the whole batch, as synchronised ones do."""

from itertools import pairwise

from torch import nn


def mlp(*widths: int, normalised_output: bool = False) -> nn.Sequential:
    """Linear layers of the given widths with batch normalisation and ReLU between them, and perhaps normalisation at the end."""
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.Linear(width, following), nn.BatchNorm1d(following), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[: -1 if normalised_output else -2])
