"""An approximate mode: candidates from a faiss inverted file over one modality, exact scores on them.

For corpora where exact mining is out of reach. A list may miss hard pairs, and a target may be called noise for want of candidates;
benchmarks/mining.py shows the recall.
"""

from collections.abc import Iterator

import numpy as np
import torch

from helip.mining.candidates import Candidates
from helip.mining.criterion import Criterion
from helip.mining.features import Features
from helip.mining.jobs import Block
from helip.mining.operand import Operand
from helip.mining.order import chunks, sampled

POINTS, PANEL = 40, 256  # sampled rows for a list; targets searched together


def run(features: list[Features], criterion: Criterion, work: Iterator[Block], workers: int, *, candidates: int, probes: int):
    """An engine (helip/mining/miner.py): the `candidates` nearest by the first modality, in the `probes` nearest of 2 sqrt(N) lists."""
    index = _index(features[0], workers, probes)
    operands = [Operand(f, tau) for f, (_, tau) in zip(features, criterion.modalities, strict=True)]
    finished = 0
    for block in work:
        for start in range(0, len(block.targets), PANEL):
            rows = block.targets[start : start + PANEL]
            yield rows, *_panel(index, operands, criterion, rows, block.forbidden[start : start + PANEL], candidates)
            finished += len(rows)
            yield float(finished)


def _index(features: Features, workers: int, probes: int):
    """Rows in half precision, 2 N D bytes; faiss-gpu takes the same index where it is installed."""
    import faiss

    faiss.omp_set_num_threads(workers)
    lists = max(1, int(2 * len(features) ** 0.5))
    index = faiss.index_factory(features.padded_dim, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    points = sampled(features, lists * POINTS, np.random.default_rng(0))
    index.train(np.concatenate([x.numpy() for _, x in chunks(features, points)]))
    for _, x in chunks(features):
        index.add(x.numpy())
    index.nprobe = probes
    return index


def _panel(index, operands, criterion, rows: np.ndarray, forbidden: np.ndarray, candidates: int) -> tuple[np.ndarray, np.ndarray]:
    targets = torch.from_numpy(rows)
    _, near = index.search(operands[0].features.rows(targets).numpy(), candidates + 1)
    row, column = np.nonzero((near >= 0) & (near != forbidden[:, None]))
    found = Candidates(targets, criterion, operands, 1 << 62)
    found.add_exact(torch.from_numpy(row), torch.from_numpy(near[row, column]))
    return found.result()
