"""Hard pairs that the model to be refined cannot tell from matches: false negatives, most likely. Numpy only."""

from dataclasses import replace

import numpy as np

from helip.errors import HelipError
from helip.mining.pairs import PairSet

BLOCK = 1 << 16  # entries scored at once


def drop_false_negatives(pairs: PairSet, image_ND: np.ndarray, text_ND: np.ndarray, margin: float = 0.0) -> PairSet:
    """The same pair set without each hard pair j of i that fits i's image as well as i's own caption does, within `margin`, or whose
    image i's caption fits as well as j's own: s_ij >= s_ii - margin or s_ji >= s_jj - margin, s the cosine of image and caption.

    image_ND and text_ND are unit rows of the whole corpus, also memory-mapped. `noise` stays as it was mined: a target that loses all
    its hard pairs has an empty H_i and is no outlier for it.
    """
    if not len(image_ND) == len(text_ND) == pairs.corpus_size or pairs.shard != (0, 1):
        raise HelipError(
            f"pairs of {pairs.corpus_size} targets (shard {pairs.shard[0]}/{pairs.shard[1]}) and features of {len(image_ND)} and "
            f"{len(text_ND)} pairs do not belong together; give a whole pair set and the features of its corpus"
        )
    own_N = _cosines(image_ND, text_ND, np.arange(len(image_ND)), np.arange(len(image_ND)))
    i_E, j_E = np.repeat(np.arange(len(pairs)), np.diff(pairs.offsets)), np.asarray(pairs.ids)
    fits_E = _cosines(image_ND, text_ND, i_E, j_E) >= own_N[i_E] - margin
    fits_E |= _cosines(image_ND, text_ND, j_E, i_E) >= own_N[j_E] - margin
    counts_N = np.bincount(i_E[~fits_E], minlength=len(pairs))
    offsets = np.concatenate([[0], np.cumsum(counts_N)]).astype(np.int64)
    return replace(pairs, ids=j_E[~fits_E], scores_flat=np.asarray(pairs.scores_flat)[~fits_E], offsets=offsets)


def _cosines(image_ND: np.ndarray, text_ND: np.ndarray, images_E: np.ndarray, texts_E: np.ndarray) -> np.ndarray:
    """float32 [E]: of image images_E[e] and caption texts_E[e]."""
    found_E = np.empty(len(images_E), np.float32)
    for start in range(0, len(images_E), BLOCK):
        block = slice(start, start + BLOCK)
        image_BD, text_BD = (x[ids[block]].astype(np.float32) for x, ids in ((image_ND, images_E), (text_ND, texts_E)))
        found_E[block] = np.einsum("bd,bd->b", image_BD, text_BD)
    return found_E
