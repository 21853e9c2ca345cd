"""Hard pairs that the model to be refined cannot tell from matches: false negatives, most likely. Numpy only."""

from dataclasses import replace

import numpy as np

from helip.errors import HelipError
from helip.mining.pairs import PairSet

BLOCK = 1 << 16  # entries scored at once


def drop_false_negatives(pairs: PairSet, image_ND: np.ndarray, text_ND: np.ndarray, margin: float = 0.0) -> PairSet:
    """Returns the same pair set without each hard pair j of i that is likely a match.

    A match fits i's image as well as i's own caption does, within `margin`, or its image fits i's caption as well as its own: s_ij >= s_ii
    - margin or s_ji >= s_jj - margin, s the cosine of image and caption.

    image_ND and text_ND are unit rows of the whole corpus, also memory-mapped. `noise` stays as it was mined: a target that loses all its
    hard pairs has an empty H_i and is no outlier for it. HelipError where pairs and features do not belong together.
    """
    if not len(image_ND) == len(text_ND) == pairs.corpus_size or pairs.shard != (0, 1):
        raise HelipError(
            f"pairs of {pairs.corpus_size} targets (shard {pairs.shard[0]}/{pairs.shard[1]}) and features of {len(image_ND)} and "
            f"{len(text_ND)} pairs do not belong together; give a whole pair set and the features of its corpus"
        )
    N, E = len(image_ND), len(pairs.ids)
    own_N = np.concatenate([_cosines(image_ND, text_ND, ids, ids) for ids in np.array_split(np.arange(N), max(1, N // BLOCK))])
    keep_E, counts_N = np.empty(E, bool), np.zeros(N, np.int64)
    for start in range(0, E, BLOCK):  # one byte an entry is held, and a block of features
        entries = np.arange(start, min(start + BLOCK, E))
        i, j = np.searchsorted(pairs.offsets, entries, side="right") - 1, pairs.ids[entries]
        fits = _cosines(image_ND, text_ND, i, j) >= own_N[i] - margin
        fits |= _cosines(image_ND, text_ND, j, i) >= own_N[j] - margin
        keep_E[entries] = ~fits
        np.add.at(counts_N, i, ~fits)
    offsets = np.concatenate([[0], np.cumsum(counts_N)]).astype(np.int64)
    return replace(pairs, ids=np.asarray(pairs.ids)[keep_E], scores_flat=np.asarray(pairs.scores_flat)[keep_E], offsets=offsets)


def _cosines(image_ND: np.ndarray, text_ND: np.ndarray, images_B: np.ndarray, texts_B: np.ndarray) -> np.ndarray:
    """float32 [B]: of image images_B[b] and caption texts_B[b]."""
    cosines_B: np.ndarray = np.einsum("bd,bd->b", image_ND[images_B].astype(np.float32), text_ND[texts_B].astype(np.float32))
    return cosines_B
