"""What is to be mined: blocks of targets, each with the candidates it may choose from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from helip.config import MiningSpec


@dataclass(frozen=True)
class Block:
    """Corpus ids. forbidden: [targets] the one candidate that each target may not choose, itself or the spare of its pool."""

    targets: np.ndarray
    columns: np.ndarray
    forbidden: np.ndarray


def blocks_of(spec: MiningSpec, corpus_size: int, first: int, end: int) -> Iterator[Block]:
    """Every target of [first, end) in one block: all of them, or for fast_hpm those that share a pool."""
    if first == end:
        return
    if spec.method != "fast_hpm" or spec.pool >= corpus_size:
        targets = np.arange(first, end)
        yield Block(targets, np.arange(corpus_size), targets)
        return
    for number in range(first // spec.pool_block, -(-end // spec.pool_block)):
        targets = np.arange(max(first, number * spec.pool_block), min(end, (number + 1) * spec.pool_block))
        pool, spare = draw_pool(spec, corpus_size, number)
        yield Block(targets, np.append(pool, spare), np.where(np.isin(targets, pool), targets, spare))


def draw_pool(spec: MiningSpec, corpus_size: int, block: int) -> tuple[np.ndarray, int]:
    """The pool of a block of targets, C candidates and one spare: a target that is in the pool takes the spare in its own place, so
    that each has C candidates drawn uniformly from the corpus without itself (section 3.2), and a block one matrix product."""
    drawn = np.random.default_rng([spec.seed, block]).choice(corpus_size, spec.pool + 1, replace=False)
    return drawn[:-1], int(drawn[-1])
