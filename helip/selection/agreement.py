"""Neighbour agreement: whether a pair's caption resembles those of its nearest images, and its image those of its nearest captions.

The two neighbour terms are LEMoN's (arXiv 2407.18941; helip/selection/lemon.py), unweighted, as ranks, and from encoders of a single
modality, which hard pair mining needs anyway; the correction for hubness is that of CSLS (arXiv 1710.04087). Related: GSC (CVPR 2024),
IN2R (arXiv 2606.04061), ASIF (arXiv 2210.01738).

Legend: N pairs, R rows of a shard, k neighbours; I_i and T_i the unit image and text features of pair i.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from helip.errors import HelipError
from helip.mining.features import Features
from helip.selection.mixture import ranks
from helip.selection.neighbours import Neighbours, cosines_with, nearest, of_same_pairs

K = 20


@dataclass(frozen=True)
class NeighbourTerms:
    """Of rows first..first + R, float32 [R]: text among image neighbours, mean_j cos(T_i, T_j) over the k nearest images j, and image
    among text neighbours, mean_j cos(I_i, I_j) over the k nearest captions j; and the neighbours themselves, which hubness needs."""

    text_among_images: np.ndarray
    image_among_texts: np.ndarray
    images: Neighbours
    texts: Neighbours

    @property
    def first(self) -> int:
        """The corpus id of row 0."""
        return self.images.first

    @property
    def recall(self) -> float | None:
        """The lower of both searches' where they were approximate, else None."""
        return min((near.recall for near in (self.images, self.texts) if near.recall is not None), default=None)


def agreement(image_ND: np.ndarray, text_ND: np.ndarray, k: int = K, *, hubness: bool = True, **search: Any) -> np.ndarray:
    """float32 [N], higher is better: the ranks of both neighbour terms among all pairs, averaged.

    image_ND and text_ND: [N, D] float16 or float32 of any norm, also memory-mapped; image features should be centred
    (`helip encode --centre`, helip.selection.neighbours.centred). hubness: as `combined` takes it. `search` takes memory, workers, device
    and approximate, as helip.selection.neighbours.nearest does. Raises HelipError as that does, and where the two are not of the same
    pairs.
    """
    return combined([neighbour_terms(image_ND, text_ND, k, **search)], hubness)


def neighbour_terms(image_ND: np.ndarray, text_ND: np.ndarray, k: int = K, **search: Any) -> NeighbourTerms:
    """Both terms of a shard's rows, the same bits whatever the shard is; only `combined` needs all shards."""
    image, text = of_same_pairs(image_ND, text_ND)
    images, texts = nearest("image", image_ND, k, **search), nearest("text", text_ND, k, **search)
    return NeighbourTerms(mean_cosine(text, images), mean_cosine(image, texts), images, texts)


def combined(shards: list[NeighbourTerms], hubness: bool = True) -> np.ndarray:
    """The score [N] from the terms of all shards, in any order.

    hubness: correct cosines for it; False is the plain mean. With h_i the mean cosine of i and its k nearest in the same modality,
    cos(i, j) - h_i / 2 - h_j / 2 takes the place of cos(i, j): a plain caption is near every other, which is no agreement.
    Raises HelipError where shards are missing.
    """
    shards = sorted(shards, key=lambda shard: shard.first)
    ends = np.cumsum([len(shard.images) for shard in shards])
    if [shard.first for shard in shards] != [0, *ends[:-1]]:
        raise HelipError(f"agreement: the shards begin at rows {[s.first for s in shards]} and do not join; compute the missing ones")
    text, image = (np.concatenate([getattr(s, name) for s in shards]) for name in ("text_among_images", "image_among_texts"))
    if hubness:
        images, texts = [s.images for s in shards], [s.texts for s in shards]
        text, image = text - _hubness(images, of=texts), image - _hubness(texts, of=images)
    score_N: np.ndarray = ((ranks(text) + ranks(image)) / 2).astype(np.float32)
    return score_N


def mean_cosine(features: Features, neighbours: Neighbours) -> np.ndarray:
    """float32 [R]: of each row and its neighbours, in the modality of `features`."""
    out = np.empty(len(neighbours), np.float32)
    for rows, cosines_MK in cosines_with(features, neighbours):
        out[rows] = cosines_MK.mean(1, dtype=np.float64)
    return out


def _hubness(among: list[Neighbours], of: list[Neighbours]) -> np.ndarray:
    """float64 [N]: (h_i + mean_j h_j) / 2 with h the density in the modality of `of`, over the neighbours j that `among` holds."""
    h_N = np.concatenate([near.cosines.mean(1, dtype=np.float64) for near in of])
    both: np.ndarray = h_N + np.concatenate([h_N[near.ids].mean(1) for near in among])
    return both / 2
