"""What is to be mined: blocks of targets, each with the candidates it may choose from, of the corpus or of some of its pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from helip.config import MiningSpec
from helip.errors import HelipError

# What an engine yields: how many targets are done (a float), from time to time, and for each panel of targets that it finishes their
# corpus ids [n], the ids of their hard pairs [n, k] int32, -1 for a target with fewer than k, and the scores [n, k] float32.
PanelResult = tuple[np.ndarray, np.ndarray, np.ndarray]
Steps = Iterator[float | PanelResult]


@dataclass(frozen=True)
class Block:
    """A block holds targets that choose among the same candidates, all as corpus ids.

    targets, columns: [n], [m]. forbidden: [n] the one candidate that each target may not choose: itself, or the spare of its pool.
    """

    targets: np.ndarray
    columns: np.ndarray
    forbidden: np.ndarray


def blocks_of(spec: MiningSpec, corpus_size: int, first: int, end: int) -> Iterator[Block]:
    """Yields the targets [first, end): all of them in one block, or for fast_hpm a block for each pool."""
    if first == end:
        return
    if spec.method != "fast_hpm" or spec.pool is None or spec.pool >= corpus_size:
        targets = np.arange(first, end)
        yield Block(targets, np.arange(corpus_size), targets)
        return
    for number in range(first // spec.pool_block, -(-end // spec.pool_block)):
        targets = np.arange(max(first, number * spec.pool_block), min(end, (number + 1) * spec.pool_block))
        pool, spare = draw_pool(spec.pool, spec.seed, corpus_size, number)
        yield Block(targets, np.append(pool, spare), np.where(np.isin(targets, pool), targets, spare))


def draw_pool(size: int, seed: int, corpus_size: int, block: int) -> tuple[np.ndarray, int]:
    """Returns the pool of a block of targets: `size` = C candidates and one spare.

    A target that is in the pool takes the spare in its own place, so that each has C candidates drawn uniformly from the corpus without
    itself (section 3.2 of arXiv 2305.05208), and a block is one matrix product.
    """
    drawn = np.random.default_rng([seed, block]).choice(corpus_size, size + 1, replace=False)
    return drawn[:-1], int(drawn[-1])


def selected_ids(keep: np.ndarray, corpus_size: int) -> np.ndarray:
    """Returns the ids, in order, that a mask [N] keeps. Raises HelipError where it is no such mask, or keeps fewer than two pairs."""
    if not isinstance(keep, np.ndarray) or keep.dtype != bool or keep.shape != (corpus_size,):
        what = f"{keep.dtype} {list(keep.shape)}" if isinstance(keep, np.ndarray) else type(keep).__name__
        raise HelipError(f"keep: expected bool [{corpus_size}], one for each pair of the corpus, got {what}; select from this corpus again")
    ids = np.flatnonzero(keep)
    if len(ids) < 2:
        raise HelipError(f"keep: keeps {len(ids)} of {corpus_size} pairs, and hard pairs need at least two; select more")
    return ids


def among(ids: np.ndarray, work: Iterator[Block]) -> Iterator[Block]:
    """Yields blocks over positions 0..n-1 of `ids` as blocks over the corpus: draws and pools are those of a corpus of these pairs."""
    for block in work:
        yield Block(ids[block.targets], ids[block.columns], ids[block.forbidden])
