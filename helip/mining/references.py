"""Pair sets that no miner made, in a miner's form: random pairs, the control of every use of hard pairs, and the true hard pairs of a
generated corpus, a bound. No target of either is noise: what they change is the pairs, and nothing else."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining.pairs import PairSet, scratch, shard_rows
from helip.progress import Progress

SPARE = 1 << 30  # bytes of lists that are kept in memory; more lie in $TMPDIR
APART = 2  # attributes in which a true hard pair may differ: what Truth.truly_hard allows
TARGETS = 256  # compared with the corpus together

Ids = int | np.ndarray


class Truth(Protocol):
    """What a generated corpus knows of itself (helip.synthetic.truth has it). Ids i and j broadcast."""

    mismatched: np.ndarray  # [N] bool: the caption is of another image
    attributes: np.ndarray  # [N, A] of the image

    def same_concept(self, i: Ids, j: Ids) -> np.ndarray:
        """Returns whether images i and j show the same concept; bool, of the broadcast shape."""
        ...

    def attribute_overlap(self, i: Ids, j: Ids) -> np.ndarray:
        """Returns how many attributes images i and j have in common; integers, of the broadcast shape."""
        ...

    def caption_true_of(self, caption: Ids, image: Ids) -> np.ndarray:
        """Returns whether all that a sample's caption says holds of another sample's image; bool, of the broadcast shape."""
        ...

    def truly_hard(self, i: Ids, j: Ids) -> np.ndarray:
        """Returns whether i and j differ in at most two attributes while neither caption is true of the other's image; bool."""
        ...


def random_pairs(corpus_size: int, spec: MiningSpec, shard: tuple[int, int] = (0, 1), *, progress: bool = False) -> PairSet:
    """Returns k other pairs for each target, drawn uniformly without replacement by the stream of (spec.seed, target); scores are 0.

    Raises HelipError for k >= corpus_size.
    """
    if spec.k >= corpus_size:
        raise HelipError(f"k = {spec.k}: a target has only {corpus_size - 1} candidates; choose a smaller k")
    first, end = shard_rows(corpus_size, shard)
    ids, scores = (scratch((end - first, spec.k), dtype, SPARE) for dtype in (np.int32, np.float32))
    with Progress("random pairs", end - first, "pairs", quiet=not progress) as meter:
        for row, i in enumerate(range(first, end)):
            drawn = np.random.default_rng([spec.seed, i]).choice(corpus_size - 1, spec.k, replace=False, shuffle=False)
            ids[row] = np.sort(drawn + (drawn >= i))  # of all but i
            meter.update()
    offsets = np.arange(end - first + 1, dtype=np.int64) * spec.k
    return PairSet(ids.reshape(-1), scores.reshape(-1), offsets, np.zeros(end - first, bool), spec, corpus_size, shard)


def true_pairs(truth: Truth, spec: MiningSpec, shard: tuple[int, int] = (0, 1)) -> PairSet:
    """Returns the true hard pairs of each target: images at most two attributes apart, neither caption true of the other's image.

    A target with more than k of them keeps k, drawn uniformly by the stream of (spec.seed, target); one with fewer, what there is.
    Scores are shares of attributes in common. Mismatched pairs are targets and hard pairs like any other: what `select: truth` is for.
    """
    size = len(truth.mismatched)
    first, end = shard_rows(size, shard)
    ids, scores = [], []
    for i, near in _truly_hard(truth, first, end):
        if len(near) > spec.k:
            near = np.random.default_rng([spec.seed, i]).choice(near, spec.k, replace=False, shuffle=False)
        alike = (truth.attribute_overlap(i, near) / truth.attributes.shape[1]).astype(np.float32)
        order = np.lexsort((near, -alike))
        ids.append(near[order].astype(np.int32))
        scores.append(alike[order])
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in ids])]).astype(np.int64)
    return PairSet(np.concatenate(ids), np.concatenate(scores), offsets, np.zeros(end - first, bool), spec, size, shard)


def _truly_hard(truth: Truth, first: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
    """(target, ids in order): by attributes, a column at a time, then what is left by the corpus' own definition."""
    columns = np.ascontiguousarray(truth.attributes.T)
    for start in range(first, end, TARGETS):
        targets = np.arange(start, min(start + TARGETS, end))
        apart = sum((column[targets, None] != column).view(np.uint8) for column in columns)
        row, j = np.nonzero(apart <= APART)
        i = targets[row]
        keep = (i != j) & truth.truly_hard(i, j)
        i, j = i[keep], j[keep]
        for target, at, to in zip(targets, np.searchsorted(i, targets), np.searchsorted(i, targets, "right"), strict=True):
            yield int(target), j[at:to]
