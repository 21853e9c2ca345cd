"""The blocked kernel in plain torch: any device, no compiler. A filter that cannot miss, then exact scores of what is left.

The filter is a matrix product in the device's fast precision (float32 on a CPU, float16 on a GPU), whose error is bounded: a pair
that counts always passes. Rows lie in cluster order, so that the second modality is multiplied for few rows and columns of a block.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

from helip.errors import HelipError
from helip.mining.blocks import Block, Steps
from helip.mining.criterion import Criterion
from helip.mining.engines.candidates import Candidates, Operand
from helip.mining.features import Features
from helip.mining.order import ordered


def run(features: list[Features], criterion: Criterion, work: Iterator[Block], memory: int, workers: int) -> Steps:
    """Runs an engine, whose steps helip/mining/blocks.py describes, on torch."""
    device = features[0].device
    half = device.type == "cuda"
    order = ordered(features[0], workers)
    operands = [Operand(f, tau, rounded_result=half) for f, (_, tau) in zip(features, criterion.modalities, strict=True)]
    spare = int(torch.cuda.mem_get_info(device)[0] * 0.8) if half else memory
    height, limit = panel_size(spare, sum(f.padded_dim for f in features), criterion.k)
    finished = 0
    for block in work:
        targets, columns = order.sort(block.targets), order.sort(block.columns)
        forbidden = block.forbidden[np.searchsorted(block.targets, targets)]
        for start in range(0, len(targets), height):
            rows = targets[start : start + height]
            for step in mine_panel(operands, criterion, rows, columns, forbidden[start : start + height], height, limit):
                yield finished + step * len(rows) if isinstance(step, float) else step
            finished += len(rows)
            yield finished


def panel_size(memory: int, dim: int, k: int) -> tuple[int, int]:
    """Returns (targets of a panel, which is also how many candidates are compared at a time; entries that may wait) within `memory` bytes.
    Raises HelipError where not even 8 targets fit.
    """
    for height in (16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8):
        limit = 3 * height * k
        if height * height * 160 + limit * 120 + 2 * height * dim * 12 <= memory:
            return height, limit
    need = 64 * 160 + 24 * k * 120 + 16 * dim * 12
    raise HelipError(f"memory: {(need - memory >> 20) + 1} MiB more are needed for one panel of 8 targets with k = {k}; give more")


def mine_panel(operands: list[Operand], criterion: Criterion, rows: np.ndarray, columns: np.ndarray, forbidden: np.ndarray, block: int,
               limit: int) -> Steps:  # fmt: skip
    """Yields the share of the columns done after each block of them, and at last (rows, ids [n, k], scores [n, k]).
    forbidden: [n] the one id that each row may not choose."""
    row_ids, forbidden_R, column_ids = (
        torch.from_numpy(np.asarray(ids, np.int64)).to(operands[0].device) for ids in (rows, forbidden, columns)
    )
    survivors = Candidates(row_ids, criterion, operands, limit)
    panel = [operand.low(row_ids) for operand in operands]
    with whole_sums():
        for start in range(0, len(columns), block):
            ids = column_ids[start : start + block]
            row, column, cosine = _survivors(operands, criterion, panel, [operand.low(ids) for operand in operands], survivors.floor)
            allowed = ids[column] != forbidden_R[row]
            survivors.add(row[allowed], ids[column[allowed]], tuple(c[allowed] for c in cosine))
            yield min(1.0, (start + len(ids)) / len(columns))
    yield rows, *survivors.result()


@contextlib.contextmanager
def whole_sums() -> Iterator[None]:
    """Makes torch sum float16 products in float32 throughout, and multiply float32 in float32: the margins count on both."""
    matmul = torch.backends.cuda.matmul
    # A program that set fp32_precision may not read allow_tf32 any more; torch before 2.9 has allow_tf32 alone.
    switch, whole = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = matmul.allow_fp16_reduced_precision_reduction, getattr(matmul, switch)
    matmul.allow_fp16_reduced_precision_reduction = False
    setattr(matmul, switch, whole)
    try:
        yield
    finally:
        matmul.allow_fp16_reduced_precision_reduction = before[0]
        setattr(matmul, switch, before[1])


def _survivors(operands: list[Operand], criterion: Criterion, panel: list[torch.Tensor], block: list[torch.Tensor], floor: torch.Tensor
               ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:  # fmt: skip
    """(row, column, cosines) of the pairs that may count. The second modality is multiplied only where the first has survivors."""
    first = (panel[0] @ block[0].T).float()
    keep = _passes(first, operands[0], criterion, floor)
    if len(operands) == 1:
        row, column = torch.nonzero(keep, as_tuple=True)
        return row, column, (first[row, column],)
    rows, columns = torch.nonzero(keep.any(1))[:, 0], torch.nonzero(keep.any(0))[:, 0]
    second = (panel[1][rows] @ block[1][columns].T).float()
    first, keep = first[rows][:, columns], keep[rows][:, columns]
    margin = operands[0].margin + operands[1].margin  # of the product: |a'b' - ab| <= |a'| m_b + |b| m_a, cosines at most 1
    keep &= _passes(second, operands[1], criterion, floor[rows])
    keep &= first * second + 1.01 * margin + 1e-6 >= floor[rows, None]
    row, column = torch.nonzero(keep, as_tuple=True)
    return rows[row], columns[column], (first[row, column], second[row, column])


def _passes(cosine_RC: torch.Tensor, operand: Operand, criterion: Criterion, floor_R: torch.Tensor) -> torch.Tensor:
    """Whether a cosine is large enough for the pair to count and to reach the row's k-th score (a product is at most either factor)."""
    m = operand.margin + 1e-6
    size = cosine_RC.abs() if criterion.signed else cosine_RC
    return (cosine_RC + m > operand.tau) & (cosine_RC - m <= float(criterion.max_similarity)) & (size + m >= floor_R[:, None])
