"""An approximate mode: candidates from a faiss inverted file, exact scores on them.

The index holds both modalities' rows side by side, so that its inner products are sums of cosines: of two pairs with the same sum the
scores differ little, while the nearest by one modality alone are mostly far in the other. For corpora where exact mining is out of
reach. A list may miss hard pairs, and a target may be called noise for want of candidates; benchmarks/mining.py shows the recall.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from helip.mining.blocks import Block, Steps
from helip.mining.criterion import Criterion
from helip.mining.engines.candidates import Candidates, Operand
from helip.mining.features import Features
from helip.mining.order import sampled

POINTS, PANEL, ADDED = 40, 256, 4096  # sampled rows for a list; targets searched together; rows added together
SLACK = 2.0**-9  # of a sum: the index holds rows in half precision


def run(features: list[Features], criterion: Criterion, work: Iterator[Block], workers: int, *, candidates: int, probes: int) -> Steps:
    """Runs an engine, whose steps helip/mining/blocks.py describes, on a faiss index: it scores the `candidates` with the largest sums,
    from the `probes` nearest of 2 sqrt(N) lists.
    """
    index = _index(features, workers, probes)
    operands = [Operand(f, tau) for f, (_, tau) in zip(features, criterion.modalities, strict=True)]
    finished = 0
    for block in work:
        for start in range(0, len(block.targets), PANEL):
            rows = block.targets[start : start + PANEL]
            yield rows, *_panel(index, operands, criterion, rows, block.forbidden[start : start + PANEL], candidates)
            finished += len(rows)
            yield float(finished)


def _rows(features: list[Features], ids: np.ndarray | slice) -> np.ndarray:
    """float32 [n, D of all modalities] unit rows side by side."""
    where = ids if isinstance(ids, slice) else torch.from_numpy(ids)
    return torch.cat([one.rows(where) for one in features], 1).numpy()


def _index(features: list[Features], workers: int, probes: int) -> Any:
    """Rows that are mined, in half precision: 2 N D bytes, whatever the budget."""
    import faiss

    faiss.omp_set_num_threads(workers)
    count, selected = features[0].count, features[0].selected
    lists = max(1, int(2 * count**0.5))
    index: Any = faiss.index_factory(sum(one.padded_dim for one in features), f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.train(_rows(features, sampled(features[0], lists * POINTS, np.random.default_rng(0))))
    for start in range(0, count, ADDED):
        rows = slice(start, start + ADDED)
        index.add(_rows(features, rows if selected is None else selected[rows]))
    index.nprobe = probes
    return index


def _panel(index: Any, operands: list[Operand], criterion: Criterion, rows: np.ndarray, forbidden: np.ndarray, candidates: int
           ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Scores in order of the sums s, k a row at a time: a b <= (s / 2)^2, so a row is done when that no longer reaches its k-th score."""
    survivors, k = Candidates(torch.from_numpy(rows), criterion, operands, 1 << 62), criterion.k
    sums, near = index.search(_rows([operand.features for operand in operands], rows), candidates + 1)
    if (selected := operands[0].features.selected) is not None:
        near = np.where(near >= 0, selected[near], -1)
    may = (near >= 0) & (near != forbidden[:, None]) & (sums > sum(operand.tau for operand in operands) - SLACK)
    may &= (may.sum(1) >= k)[:, None]  # fewer: noise, whatever they score
    reach = ((sums + SLACK) / len(operands)) ** len(operands)
    for start in range(0, may.shape[1], k):
        part = slice(start, start + k)
        row, column = np.nonzero(may[:, part] & (criterion.signed | (reach[:, part] >= survivors.floor.numpy()[:, None])))
        if len(row):
            survivors.add_exact(torch.from_numpy(row), torch.from_numpy(near[:, part][row, column]))
            survivors.settle()
    return survivors.result()
