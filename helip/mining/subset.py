"""Mining among some of the pairs: a mask over the corpus, and work in the ids of the pairs that it keeps."""

from collections.abc import Iterator

import numpy as np

from helip.errors import HelipError
from helip.mining.jobs import Block


def kept_ids(keep: np.ndarray, corpus_size: int) -> np.ndarray:
    """The ids, in order, that a mask [N] keeps; HelipError for what is no such mask, or leaves no two pairs to compare."""
    if not isinstance(keep, np.ndarray) or keep.dtype != bool or keep.shape != (corpus_size,):
        what = f"{keep.dtype} {list(keep.shape)}" if isinstance(keep, np.ndarray) else type(keep).__name__
        raise HelipError(f"keep: expected bool [{corpus_size}], one for each pair of the corpus, got {what}; select from this corpus again")
    ids = np.flatnonzero(keep)
    if len(ids) < 2:
        raise HelipError(f"keep: keeps {len(ids)} of {corpus_size} pairs, and hard pairs need at least two; select more")
    return ids


def among(ids: np.ndarray, work: Iterator[Block]) -> Iterator[Block]:
    """Blocks over positions 0..n-1 of `ids`, as blocks over the corpus: what is drawn and shared is that of a corpus of those pairs."""
    for block in work:
        yield Block(ids[block.targets], ids[block.columns], ids[block.forbidden])
