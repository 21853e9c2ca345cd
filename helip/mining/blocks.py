"""The blocked kernel in plain torch: any device, no compiler. A filter that cannot miss, then exact scores of what is left.

The filter is a matrix product in the device's fast precision (float32 on a CPU, float16 on a GPU), whose error is bounded: a pair
that counts always passes. Passing pairs wait in `Candidates`, a bounded buffer, until they are settled with exact cosines.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from helip.errors import HelipError
from helip.mining.criterion import Criterion
from helip.mining.features import Features, cosines, rounding_of_sums
from helip.mining.jobs import Block

EXACT_CHUNK = 1 << 14  # pairs scored together


class Operand:
    """One modality on a device: raw rows and scales for exact cosines, and the error of its low-precision copies."""

    def __init__(self, features: Features, tau: np.float32, device: torch.device):
        self.features, self.tau, self.device = features, float(tau), device
        self.half = device.type == "cuda"
        self.error = 0.0  # largest |rounded row - row| seen so far

    def rows(self, ids_P: torch.Tensor) -> torch.Tensor:
        """[P, padded_dim] float32 unit rows."""
        return torch.from_numpy(self.features.rows(ids_P.cpu().numpy())).to(self.device)

    def low(self, ids: np.ndarray) -> torch.Tensor:
        """[n, padded_dim] unit rows in the filter's precision."""
        exact = torch.from_numpy(self.features.rows(ids)).to(self.device)
        if not self.half:
            return exact
        rounded = exact.half()
        self.error = max(self.error, 1.001 * float((rounded.float() - exact).norm(dim=1).max()))
        return rounded

    @property
    def margin(self) -> float:
        """How far the filter's cosine can be from the exact one: |x'y' - xy| <= 2e + e^2, then the sum, then the result's rounding."""
        result = 2.0**-10 if self.half else 0.0
        return 1.01 * (2 * self.error + self.error**2) + rounding_of_sums(self.features.padded_dim) + result


@dataclass
class Entries:
    """Candidate pairs of a panel: row (position in the panel), id, both filter cosines, and the score once it is exact."""

    row: torch.Tensor
    id: torch.Tensor
    cosine: tuple[torch.Tensor, ...]
    score: torch.Tensor
    exact: torch.Tensor

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, which: torch.Tensor) -> "Entries":
        return Entries(self.row[which], self.id[which], tuple(c[which] for c in self.cosine), self.score[which], self.exact[which])

    @staticmethod
    def join(parts: list["Entries"]) -> "Entries":
        columns = zip(*((p.row, p.id, p.score, p.exact, *p.cosine) for p in parts), strict=True)
        row, ids, score, exact, *cosine = (torch.cat(c) for c in columns)
        return Entries(row, ids, tuple(cosine), score, exact)


class Candidates:
    """What may still be in some H_i of a panel: at most `limit` entries between settlings, at most k a row after one."""

    def __init__(self, row_ids: torch.Tensor, criterion: Criterion, operands: list[Operand], limit: int):
        self.row_ids, self.criterion, self.operands = row_ids, criterion, operands
        self.limit, self.waiting, self.parts = limit, 0, []
        self.floor = torch.zeros(len(row_ids), device=row_ids.device)  # the exact k-th score of rows that have k

    def add(self, row: torch.Tensor, ids: torch.Tensor, cosine: tuple[torch.Tensor, ...]) -> None:
        nothing = torch.zeros(len(row), device=row.device)
        self.parts.append(Entries(row, ids, cosine, nothing, nothing.bool()))
        self.waiting += len(row)
        if self.waiting > self.limit:
            self.settle()

    def settle(self, last: bool = False) -> Entries:
        """Raise the floors. Rows with fewer than k candidates are left unscored: most are noise and never need it."""
        if not self.parts:
            none = torch.zeros(0, device=self.floor.device)
            return Entries(none.long(), none.long(), tuple(none for _ in self.operands), none, none.bool())
        k, rows = self.criterion.k, len(self.row_ids)
        entries = Entries.join(self.parts)
        low, high = self._interval(entries)
        order = _order(entries.row, -low)
        counts = torch.bincount(entries.row, minlength=rows)
        full = counts >= k
        kth = torch.full((rows,), -torch.inf, device=self.floor.device)
        kth[full] = low[order[(counts.cumsum(0) - counts)[full] + k - 1]]
        entries = entries[(high >= kth[entries.row]) & (full[entries.row] | (not last))]
        entries = self._scored(entries, full)
        entries = entries[_order(entries.row, -entries.score, entries.id)]
        counts = torch.bincount(entries.row, minlength=rows)
        first = counts.cumsum(0) - counts
        rank = torch.arange(len(entries), device=self.floor.device) - first[entries.row]
        kth_entry = entries[(rank == k - 1) & full[entries.row]]
        self.floor[kth_entry.row] = kth_entry.score
        entries = entries[rank < k]
        self.parts, self.waiting = [entries], len(entries)
        return entries

    def _interval(self, e: Entries) -> tuple[torch.Tensor, torch.Tensor]:
        """Bounds of each score; the lower is -inf where the pair may not count at all."""
        product, slack, sure = torch.ones_like(e.score), torch.zeros_like(e.score), torch.ones_like(e.exact)
        for cosine, operand in zip(e.cosine, self.operands, strict=True):
            m = operand.margin
            slack = slack * (cosine.abs() + m) + product.abs() * m
            product = product * cosine
            sure &= (cosine - m > operand.tau) & (cosine + m <= float(self.criterion.max_similarity))
        slack = slack * 1.001 + 1e-6
        low = torch.where(sure & (product > slack), product - slack, -torch.inf)
        return torch.where(e.exact, e.score, low), torch.where(e.exact, e.score, product + slack)

    def _scored(self, e: Entries, full: torch.Tensor) -> Entries:
        """Exact scores for the entries of full rows; those that turn out not to count are dropped."""
        todo = torch.nonzero(full[e.row] & ~e.exact)[:, 0]
        keep = torch.ones(len(e), dtype=torch.bool, device=e.row.device)
        for chunk in todo.split(EXACT_CHUNK):
            score = exact_scores(self.operands, self.criterion, self.row_ids[e.row[chunk]], e.id[chunk])
            e.score[chunk], e.exact[chunk], keep[chunk] = score, True, score > 0
        return e[keep]


def exact_scores(operands: list[Operand], criterion: Criterion, i_P: torch.Tensor, j_P: torch.Tensor) -> torch.Tensor:
    """[P] float32 scores of pairs (i, j) of corpus ids in the fixed order; 0 where the pair does not count."""
    score = torch.ones(len(i_P), device=i_P.device)
    counts = torch.ones(len(i_P), dtype=torch.bool, device=i_P.device)
    for operand in operands:
        cosine = cosines(operand.rows(i_P), operand.rows(j_P))
        counts &= (cosine > operand.tau) & (cosine <= float(criterion.max_similarity))
        score = score * cosine
    return torch.where(counts, score, 0).clamp(min=0)


def _order(*keys: torch.Tensor) -> torch.Tensor:
    """The order that sorts by the first key, then the second ... (stable sorts, last key first)."""
    order = torch.argsort(keys[-1], stable=True)
    for key in reversed(keys[:-1]):
        order = order[torch.argsort(key[order], stable=True)]
    return order


def run(features: list[Features], criterion: Criterion, work: Iterator[Block], memory: int, device: torch.device):
    """An engine (helip/mining/miner.py) on torch."""
    operands = [Operand(f, tau, device) for f, (_, tau) in zip(features, criterion.modalities, strict=True)]
    height, limit = panel_size(memory, sum(f.padded_dim for f in features), criterion.k)
    finished = 0
    for block in work:
        for start in range(0, len(block.targets), height):
            rows = block.targets[start : start + height]
            for step in mine_panel(operands, criterion, rows, block.columns, block.forbidden[start : start + height], height, limit):
                yield finished + step * len(rows) if isinstance(step, float) else step
            finished += len(rows)
            yield finished


def panel_size(memory: int, dim: int, k: int) -> tuple[int, int]:
    """(targets, and candidates, at a time; waiting entries) that keep a panel within the budget."""
    for height in (4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8):
        limit = 2 * height * k
        if height * height * 160 + limit * 120 + 2 * height * dim * 12 <= memory:
            return height, limit
    need = 64 * 160 + 16 * k * 120 + 16 * dim * 12
    raise HelipError(f"memory: {need >> 10} KiB are needed for one panel of 8 targets with k = {k}; give more")


def mine_panel(operands: list[Operand], criterion: Criterion, rows: np.ndarray, columns: np.ndarray, forbidden: np.ndarray, block: int,
               limit: int) -> Iterator[float | tuple[np.ndarray, np.ndarray, np.ndarray]]:  # fmt: skip
    """Yields the share of the columns done after each block of them, and at last (rows, ids [n, k] int32, scores [n, k] float32); a
    row with fewer than k hard pairs has ids -1."""
    device = operands[0].device
    as_tensor = lambda values: torch.from_numpy(np.asarray(values, np.int64)).to(device)  # noqa: E731
    row_ids, forbidden_R = as_tensor(rows), as_tensor(forbidden)
    found = Candidates(row_ids, criterion, operands, limit)
    panel = [operand.low(rows) for operand in operands]
    for start in range(0, len(columns), block):
        ids = columns[start : start + block]
        block_ids = as_tensor(ids)
        row, column, cosine = _survivors(operands, criterion, panel, [operand.low(ids) for operand in operands], found.floor)
        allowed = block_ids[column] != forbidden_R[row]
        found.add(row[allowed], block_ids[column[allowed]], tuple(c[allowed] for c in cosine))
        yield min(1.0, (start + len(ids)) / len(columns))
    entries, k = found.settle(last=True), criterion.k
    ids, scores = np.full((len(rows), k), -1, np.int32), np.zeros((len(rows), k), np.float32)
    counts = torch.bincount(entries.row, minlength=len(rows))
    whole = counts[entries.row] == k  # entries lie by row, then by score
    good = (counts == k).cpu().numpy()
    ids[good] = entries.id[whole].cpu().numpy().reshape(-1, k)
    scores[good] = entries.score[whole].cpu().numpy().reshape(-1, k)
    yield rows, ids, scores


def _survivors(operands, criterion, panel, block, floor) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
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
