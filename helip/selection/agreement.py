"""Neighbour agreement: whether a pair's caption resembles those of its nearest images, and its image those of its nearest captions.

The two neighbour terms are LEMoN's (arXiv 2407.18941; helip/selection/lemon.py), unweighted, as ranks, and from encoders of a single
modality, which hard pair mining needs anyway. Related: GSC (CVPR 2024), IN2R (arXiv 2606.04061), ASIF (arXiv 2210.01738).

Legend: N pairs, R rows of a shard, k neighbours; I_i and T_i the unit image and text features of pair i.
"""

from dataclasses import dataclass

import numpy as np

from helip.selection.mixture import ranks
from helip.selection.neighbours import Neighbours, cosines_with, nearest, of_same_pairs

K = 20


@dataclass(frozen=True)
class NeighbourTerms:
    """Of rows first..first + R: text among image neighbours, mean_j cos(T_i, T_j) over the k nearest images j, and image among text
    neighbours, mean_j cos(I_i, I_j) over the k nearest captions j; float32 [R] both. recall: of approximate neighbours, else None."""

    text_among_images: np.ndarray
    image_among_texts: np.ndarray
    first: int = 0
    recall: float | None = None


def agreement(image_ND: np.ndarray, text_ND: np.ndarray, k: int = K, **search) -> np.ndarray:
    """float32 [N], higher is better: the rank of each neighbour term among all pairs, summed, as a share of 2 N.

    image_ND and text_ND: [N, D] float16 or float32 of any norm, also memory-mapped; image features should be centred
    (`helip encode --centre`, helip.selection.neighbours.centred). `search` takes memory, workers, device and approximate, as
    helip.selection.neighbours.nearest does. Raises HelipError as that does, and where the two are not of the same pairs.
    """
    return combined([neighbour_terms(image_ND, text_ND, k, **search)])


def neighbour_terms(image_ND: np.ndarray, text_ND: np.ndarray, k: int = K, **search) -> NeighbourTerms:
    """Both terms of a shard's rows. A row's terms do not depend on the shard; only ranks need them all."""
    image, text = of_same_pairs(image_ND, text_ND)
    images, texts = nearest("image", image_ND, k, **search), nearest("text", text_ND, k, **search)
    recalls = [near.recall for near in (images, texts) if near.recall is not None]
    return NeighbourTerms(mean_cosine(text, images), mean_cosine(image, texts), images.first, min(recalls, default=None))


def combined(shards: list[NeighbourTerms]) -> np.ndarray:
    """The score from the terms of all shards, in the order of their rows."""
    shards = sorted(shards, key=lambda shard: shard.first)
    text, image = (np.concatenate([getattr(s, name) for s in shards]) for name in ("text_among_images", "image_among_texts"))
    return ((ranks(text) + ranks(image)) / 2).astype(np.float32)


def mean_cosine(features, neighbours: Neighbours) -> np.ndarray:
    """float32 [R]: of each row and its neighbours, in the modality of `features` (helip.mining.features.Features)."""
    out = np.empty(len(neighbours), np.float32)
    for rows, found_MK in cosines_with(features, neighbours):
        out[rows] = found_MK.mean(1, dtype=np.float64)
    return out
