"""Candidates of a panel on a torch device: a bounded buffer of pairs that may count, trimmed by bounds and settled by exact scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from helip.mining.criterion import Criterion
from helip.mining.features import Features, cosines, rounding_of_sums

EXACT_CHUNK = 512  # pairs scored together on a CPU: what its cache holds


class Operand:
    """One modality on a torch device, with its tau.

    rounded_result: whether the filter's product is itself rounded to float16, as a float16 matrix product of torch is.
    """

    def __init__(self, features: Features, tau: np.float32, *, rounded_result: bool = False):
        self.features, self.tau, self.device = features, float(tau), features.device
        self.half = self.device.type == "cuda"
        self.error, self.skew = 0.0, 0.0
        self.axes: torch.Tensor | None = None
        self.result = 2.0**-10 if rounded_result else 0.0

    def rotate(self, axes: np.ndarray, skew: float) -> None:
        """Makes the filter see all rows rotated. axes: [padded_dim, padded_dim] float32; skew: how much that can change a cosine."""
        self.axes, self.skew = torch.from_numpy(axes).to(self.device), skew

    def cosines(self, i_P: torch.Tensor, j_P: torch.Tensor) -> torch.Tensor:
        """Returns the [P] exact cosines of pairs of corpus ids."""
        return cosines(self.features.rows(i_P), self.features.rows(j_P))

    def low(self, ids_P: torch.Tensor, half: bool | None = None) -> torch.Tensor:
        """Returns rows [P, padded_dim] in the filter's precision; `error` remembers the largest |low row - row| seen."""
        exact = self.features.rows(ids_P)
        if self.axes is not None:
            exact = exact @ self.axes
        if not (self.half if half is None else half):
            return exact
        rounded = exact.half()
        self.error = max(self.error, 1.001 * float((rounded.float() - exact).norm(dim=1).max()))
        return rounded

    @property
    def margin(self) -> float:
        """The largest difference between the filter's cosine and the exact one: |x'y' - xy| <= 2e + e^2 + skew, then the rounding of both
        sums (twice that of float32 on tensor cores, which truncate), then the result's.
        """
        sums = rounding_of_sums((4 if self.half else 2) * self.features.padded_dim)
        return 1.01 * (2 * self.error + self.error**2 + self.skew) + sums + self.result + 1e-6


@dataclass
class Entries:
    """Pairs as columns: row (position in the panel), id, the filter's cosine of each modality, and the score once it is exact."""

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
        """Returns the entries of all parts, one part behind the other. There must be at least one part."""
        columns = zip(*((p.row, p.id, p.score, p.exact, *p.cosine) for p in parts), strict=True)
        row, ids, score, exact, *cosine = (torch.cat(c) for c in columns)
        return Entries(row, ids, tuple(cosine), score, exact)


class Candidates:
    """The pairs that may still be in some H_i of a panel: at most `limit` between two settlings, at most k for a row after one."""

    def __init__(self, row_ids: torch.Tensor, criterion: Criterion, operands: Sequence[Operand], limit: int):
        self.row_ids, self.criterion, self.operands, self.limit = row_ids, criterion, operands, limit
        self.waiting = 0
        self.parts: list[Entries] = []
        self.floor = torch.zeros(len(row_ids), device=row_ids.device)  # a score that the row already has k of

    def add(self, row: torch.Tensor, ids: torch.Tensor, cosine: tuple[torch.Tensor, ...]) -> None:
        """Takes pairs that passed the filter. row: [E] positions in the panel; ids: [E] corpus ids; cosine: [E] of each modality.

        Where more than `limit` entries wait, those that cannot be among their row's k largest are dropped.
        """
        if len(row) == 0:
            return
        nothing = torch.zeros(len(row), device=row.device)
        self.parts.append(Entries(row, ids, cosine, nothing, nothing.bool()))
        self.waiting += len(row)
        if self.waiting > self.limit:
            self.trim()
            if self.waiting > self.limit // 2:
                self.settle()

    def add_exact(self, row: torch.Tensor, ids: torch.Tensor) -> None:
        """Takes pairs that are scored exactly at once, whatever the filter says. row, ids: [E] as for `add`."""
        chunks = zip(torch.split(self.row_ids[row], EXACT_CHUNK), torch.split(ids, EXACT_CHUNK), strict=True)
        score = torch.cat([exact_scores(self.operands, self.criterion, i, j) for i, j in chunks])
        keep = score > 0
        score = score[keep]
        self.parts.append(Entries(row[keep], ids[keep], tuple(score for _ in self.operands), score, torch.ones_like(score).bool()))
        self.waiting += len(score)

    def trim(self) -> torch.Tensor:
        """Drops what cannot be among a row's k largest and raises the floors. Returns which rows have k candidates or more, bool [rows]."""
        k, rows = self.criterion.k, len(self.row_ids)
        entries = Entries.join(self.parts)
        low, high = self._interval(entries)
        order = _by_row(entries.row, low)
        counts = torch.bincount(entries.row, minlength=rows)
        full = counts >= k
        kth = low[order[((counts.cumsum(0) - counts)[full] + k - 1)]]
        self.floor[full] = torch.maximum(self.floor[full], kth)
        self._hold(entries[high >= self.floor[entries.row]])
        return full

    def settle(self, last: bool = False) -> Entries:
        """Returns exact scores, at most k of them a row, best first.

        A row with fewer than k candidates is not scored: most such rows are noise and never need it. With `last` it is dropped.
        """
        if not self.parts:
            none = torch.zeros(0, device=self.floor.device)
            return Entries(none.long(), none.long(), tuple(none for _ in self.operands), none, none.bool())
        full = self.trim()
        entries = self.parts[0]
        if last:
            entries = entries[full[entries.row]]
        entries = self._scored(entries, full)
        entries = entries[torch.argsort(entries.id)]
        entries = entries[_by_row(entries.row, entries.score)]
        counts = torch.bincount(entries.row, minlength=len(self.row_ids))
        rank = torch.arange(len(entries), device=self.floor.device) - (counts.cumsum(0) - counts)[entries.row]
        kth = entries[(rank == self.criterion.k - 1) & full[entries.row]]
        self.floor[kth.row] = torch.maximum(self.floor[kth.row], kth.score)
        return self._hold(entries[rank < self.criterion.k])

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (ids [n, k] int32, scores [n, k] float32) of the panel's rows; ids are -1 for a row with fewer than k hard pairs."""
        entries, k, rows = self.settle(last=True), self.criterion.k, len(self.row_ids)
        counts = torch.bincount(entries.row, minlength=rows)
        whole, good = counts[entries.row] == k, (counts == k).cpu().numpy()  # entries lie by row, then by score
        ids, scores = np.full((rows, k), -1, np.int32), np.zeros((rows, k), np.float32)
        ids[good] = entries.id[whole].cpu().numpy().reshape(-1, k)
        scores[good] = entries.score[whole].cpu().numpy().reshape(-1, k)
        return ids, scores

    def _hold(self, entries: Entries) -> Entries:
        self.parts, self.waiting = [entries], len(entries)
        return entries

    def _interval(self, e: Entries) -> tuple[torch.Tensor, torch.Tensor]:
        """Bounds of each score; the lower is 0 where the pair may not count at all."""
        product, slack, sure = torch.ones_like(e.score), torch.zeros_like(e.score), torch.ones_like(e.exact)
        for cosine, operand in zip(e.cosine, self.operands, strict=True):
            m = operand.margin
            slack = slack * (cosine.abs() + m) + product.abs() * m
            product = product * cosine
            sure &= (cosine - m > operand.tau) & (cosine + m <= float(self.criterion.max_similarity))
        slack = slack * 1.001 + 1e-6
        low = torch.where(sure, product - slack, 0).clamp(min=0)
        return torch.where(e.exact, e.score, low), torch.where(e.exact, e.score, product + slack)

    def _scored(self, e: Entries, full: torch.Tensor) -> Entries:
        """Exact scores for the entries of full rows; those that turn out not to count are dropped."""
        todo = torch.nonzero(full[e.row] & ~e.exact)[:, 0]
        keep = torch.ones(len(e), dtype=torch.bool, device=e.row.device)
        for chunk in torch.split(todo, EXACT_CHUNK if e.row.device.type == "cpu" else 1 << 18):
            score = exact_scores(self.operands, self.criterion, self.row_ids[e.row[chunk]], e.id[chunk])
            e.score[chunk], e.exact[chunk], keep[chunk] = score, True, score > 0
        return e[keep]


def exact_scores(operands: Sequence[Operand], criterion: Criterion, i_P: torch.Tensor, j_P: torch.Tensor) -> torch.Tensor:
    """Returns [P] float32 scores of pairs (i, j) of corpus ids, summed in the fixed order; 0 where the pair does not count."""
    score = torch.ones(len(i_P), device=i_P.device)
    counts = torch.ones(len(i_P), dtype=torch.bool, device=i_P.device)
    for operand in operands:
        cosine = operand.cosines(i_P, j_P)
        counts &= (cosine > operand.tau) & (cosine <= float(criterion.max_similarity))
        score = score * cosine
    return torch.where(counts, score, 0).clamp(min=0)


def _by_row(row_E: torch.Tensor, value_E: torch.Tensor) -> torch.Tensor:
    """The order by row, then largest value first (values >= 0, whose bits order as they do), equal ones as they stand."""
    return torch.argsort((row_E.long() << 32) + (0x7FFFFFFF - (value_E + 0.0).view(torch.int32).long()), stable=True)
