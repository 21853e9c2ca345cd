"""LEMoN, label errors from multimodal neighbours (arXiv 2407.18941, ICML 2025): a pair's own distance and those of its neighbours.

    score_i = d_i + beta n_i + gamma m_i
    n_i = mean_j d(T_i, T_j) exp(-tau1_n d(I_i, I_j)) exp(-tau2_n d_j) over the k nearest images j of image i
    m_i = mean_j d(I_i, I_j) exp(-tau1_m d(T_i, T_j)) exp(-tau2_m d_j) over the k nearest captions j of caption i

d is the cosine distance, d_i that of image i and its own caption in the space of a contrastive model. Its authors take all distances in
that space; I and T may as well come from encoders of a single modality, and d_i then still from the model, or be left out.

Legend: N pairs, R rows of a shard, k neighbours.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from helip.config.selection import LemonSettings
from helip.errors import HelipError
from helip.mining.features import Features, cosines
from helip.selection.neighbours import BLOCK_BYTES, Modality, cosines_with, nearest, of_same_pairs


@dataclass(frozen=True)
class Beside:
    """One neighbour term's distances, float32 [R, k] each: from a row to its neighbours where they were looked for (near) and in the
    other modality (other), and each neighbour's own distance d_j (own), None where there is none."""

    near: np.ndarray
    other: np.ndarray
    own: np.ndarray | None

    def mean(self, tau1: float, tau2: float, k: int) -> np.ndarray:
        """float64 [R], over the k nearest of those that are held."""
        if tau2 and self.own is None:
            raise HelipError("LEMoN: tau2 weights neighbours by their own distance, which needs a contrastive model; set tau2 to 0")
        exponent = -tau1 * self.near[:, :k].astype(np.float64)
        if tau2 and self.own is not None:
            exponent -= tau2 * self.own[:, :k]
        terms: np.ndarray = np.exp(exponent) * self.other[:, :k]
        return np.asarray(terms.mean(1))


@dataclass(frozen=True)
class LemonDistances:
    """What LEMoN's score is made of, for rows first..first + R, whatever its hyperparameters are. own: float32 [R], d_i, or None."""

    own: np.ndarray | None
    images: Beside  # n: neighbours by image, their captions
    texts: Beside  # m: neighbours by caption, their images
    first: int = 0
    recall: float | None = None

    def score(self, settings: LemonSettings) -> np.ndarray:
        """float32 [R], LEMoN's score with the sign turned: higher is better, as for every score of this package."""
        s = settings
        if s.k > self.images.near.shape[1]:
            raise HelipError(f"LEMoN: k = {s.k}, and only {self.images.near.shape[1]} neighbours are held; look for more")
        own = 0.0 if self.own is None else self.own.astype(np.float64)
        terms = s.beta * self.images.mean(s.tau1_n, s.tau2_n, s.k) + s.gamma * self.texts.mean(s.tau1_m, s.tau2_m, s.k)
        return -(own + terms).astype(np.float32)


def lemon(
    image_ND: np.ndarray, text_ND: np.ndarray, settings: LemonSettings | None = None, *, own: np.ndarray | None = None, **search: Any
) -> np.ndarray:
    """float32 [N], higher is better. The features are any norm's, of a joint space or of two; own: float32 [N] distances of each
    image and its caption by a contrastive model (`own_distances`), without which d_i is left out and tau2 must be 0.

    `search` takes memory, workers, device, shard and approximate, as helip.selection.neighbours.nearest does; with a shard the result
    is that of its rows. Raises HelipError as that does.
    """
    settings = settings or LemonSettings()
    return lemon_distances(image_ND, text_ND, settings.k, own=own, **search).score(settings)


def own_distances(image_ND: np.ndarray, text_ND: np.ndarray) -> np.ndarray:
    """float32 [N], d_i: the cosine distance of each image and its own caption in a joint space."""
    image, text = of_same_pairs(image_ND, text_ND)
    if image.dim != text.dim:
        raise HelipError(f"own distances: image features of width {image.dim} and text features of width {text.dim} share no space")
    step = max(1, BLOCK_BYTES // (8 * image.padded_dim))
    blocks = [slice(start, start + step) for start in range(0, len(image), step)]
    return np.concatenate([1 - cosines(image.rows(rows), text.rows(rows)).numpy() for rows in blocks])


def lemon_distances(image_ND: np.ndarray, text_ND: np.ndarray, k: int, *, own: np.ndarray | None = None, **search: Any) -> LemonDistances:
    """The distances of a shard's rows to k neighbours by image and k by caption; 24 k bytes a row. Arguments as `lemon` takes them."""
    image, text = of_same_pairs(image_ND, text_ND)
    if own is not None and (own.shape != (len(image),) or not np.isfinite(own).all()):
        raise HelipError(f"own distances {list(own.shape)}: expected one finite number for each of {len(image)} pairs; score them again")
    terms, recalls = [], []
    sides: tuple[tuple[Modality, np.ndarray, Features], ...] = (("image", image_ND, text), ("text", text_ND, image))
    for modality, features_ND, other in sides:
        near = nearest(modality, features_ND, k, **search)
        beside = np.empty(near.ids.shape, np.float32)
        for rows, cosines_MK in cosines_with(other, near):
            beside[rows] = 1 - cosines_MK
        terms.append(Beside(1 - near.cosines, beside, None if own is None else own[near.ids]))
        recalls += [] if near.recall is None else [near.recall]
    rows = slice(near.first, near.first + len(near))
    images, texts = terms
    return LemonDistances(None if own is None else own[rows], images, texts, near.first, min(recalls, default=None))


def with_own(distances: LemonDistances, keep: bool) -> LemonDistances:
    """The same distances, without d_i and d_j unless `keep`."""
    if keep:
        return distances
    return replace(distances, own=None, images=replace(distances.images, own=None), texts=replace(distances.texts, own=None))
