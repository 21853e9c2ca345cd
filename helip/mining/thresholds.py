"""Tau by quantile: thresholds at which a given share of the targets are outliers, at one quantile common to both modalities.

A cosine's level is the quantile at which it stands among the cosines of random pairs of its modality. Let u_ij be the lower of the levels
of pair (i, j) in the modalities that the method uses, and u_i the k-th largest u_ij of target i. At the quantile q of both modalities i is
an outlier when u_i <= q, so the q of a share of outliers is that quantile of the u_i: encoders whose cosines differ become comparable.

Legend: N pairs that are mined, M sampled targets.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining.blocks import Block, among, blocks_of
from helip.mining.features import Features, cosines

ALL, SAMPLED = 8192, 4096  # a corpus of at most ALL pairs is looked at whole, of a larger one so many targets
POOLS = 16  # of fast_hpm, whose targets are sampled
DRAWN, EACH = 1 << 17, 64  # random pairs that levels are measured on, at most; and for each pair of a small corpus
ROWS, COLUMNS = 128, 2048  # targets and candidates compared together
LEVELS = np.concatenate([np.linspace(0, 1, 513)[1:-1], 1 - 2.0 ** -np.arange(10, 16)])


@dataclass(frozen=True)
class Thresholds:
    """What shares of outliers are read off.

    knots: of each modality, cosines and their levels, both increasing. levels: [M] the u_i of the sampled targets, increasing, -inf for one
    that is an outlier whatever tau is. near: (pairs, targets) above `max_similarity` among the sampled.
    """

    knots: dict[str, tuple[np.ndarray, np.ndarray]]
    levels: np.ndarray
    near: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, features: list[Features], spec: MiningSpec) -> "Thresholds":
        """Returns the thresholds of these modalities, the same whatever shard is mined. float64 throughout, so that machines agree."""
        return cls._looked(features, spec, {one.name: _knots(one) for one in features})

    @classmethod
    def copies(cls, features: list[Features], spec: MiningSpec) -> "Thresholds":
        """Returns `near` alone, in a small part of the time: it has no knots and no levels."""
        return cls._looked(features, spec, {})

    @classmethod
    def _looked(cls, features: list[Features], spec: MiningSpec, knots: dict[str, tuple[np.ndarray, np.ndarray]]) -> "Thresholds":
        parts = [_panel(features, list(knots.values()), spec, block) for block in _sampled(features[0], spec)]
        near_M = np.concatenate([near for _, near in parts])
        return cls(knots, np.sort(np.concatenate([levels for levels, _ in parts])), (int(near_M.sum()), int((near_M > 0).sum())))

    def quantile(self, share: float) -> float:
        """Returns the common quantile of a share of outliers. HelipError where more targets are outliers without any tau."""
        M = len(self.levels)
        count = min(round(share * M), M - 1)
        below, above = self.levels[count - 1] if count else 0.0, self.levels[count]
        if above == -np.inf:
            always = float(np.mean(self.levels == -np.inf))
            why = f"without any tau {always:.1%} of the targets have fewer than k pairs that count"
            raise HelipError(f"outliers {share:g}: {why}; raise outliers or lower k")
        return float((max(below, 0.0) + above) / 2)

    def tau(self, share: float) -> dict[str, float]:
        """Returns the tau of each modality at which a share of the targets are outliers. HelipError as for `quantile`."""
        q = self.quantile(share)
        return {name: float(np.float32(np.interp(q, levels, values))) for name, (values, levels) in self.knots.items()}

    def cosines(self, quantiles: tuple[float, ...] = (0.05, 0.5, 0.95, 0.99)) -> dict[str, dict[str, float]]:
        """Returns quantiles of the cosines of random pairs, by modality."""
        return {
            name: {f"{q:.0%}": round(float(np.interp(q, levels, values)), 4) for q in quantiles}
            for name, (values, levels) in self.knots.items()
        }


def target_levels(features: list[Features], spec: MiningSpec, every: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns (ids, levels) of every n-th of the sampled targets, which are all of at most 8,192 pairs: int64 [M], and float64 [M] the u_i
    that `outliers` cuts, -inf for a target that is an outlier whatever tau is.
    """
    knots = [_knots(one) for one in features]
    blocks = [Block(b.targets[::every], b.columns, b.forbidden[::every]) for b in _sampled(features[0], spec)]
    levels = [_panel(features, knots, spec, block)[0] for block in blocks]
    return np.concatenate([block.targets for block in blocks]), np.concatenate(levels)


def resolved(spec: MiningSpec, thresholds: Thresholds) -> MiningSpec:
    """Returns the spec with the tau that its `outliers` stands for."""
    assert spec.outliers is not None  # asked only then
    result = thresholds.tau(spec.outliers)
    return spec.model_copy(update={f"tau_{name}": tau for name, tau in result.items()})


def _knots(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """(cosines, levels) from -1 to 1 and from 0 to 1, of pairs of different samples drawn at random."""
    rng, N = np.random.default_rng(0), features.count
    drawn = min(DRAWN, EACH * N)
    i = rng.integers(0, N, drawn)
    j = (i + rng.integers(1, N, drawn)) % N
    if features.selected is not None:
        i, j = features.selected[i], features.selected[j]
    together = zip(np.array_split(i, -(-drawn // COLUMNS)), np.array_split(j, -(-drawn // COLUMNS)), strict=True)
    result = [cosines(*(features.rows(torch.from_numpy(ids).to(features.device)) for ids in both)).cpu() for both in together]
    values, first = np.unique(np.quantile(np.concatenate(result).astype(np.float64), LEVELS), return_index=True)
    inside = (values > -1) & (values < 1)
    return np.concatenate([[-1.0], values[inside], [1.0]]), np.concatenate([[0.0], LEVELS[first][inside], [1.0]])


def _sampled(features: Features, spec: MiningSpec) -> Iterator[Block]:
    """The sampled targets with all their candidates, as corpus ids."""
    N, rng = features.count, np.random.default_rng(1)
    pooled = spec.method == "fast_hpm" and spec.pool is not None and spec.pool < N
    size = spec.pool_block if pooled else N
    starts = np.arange(0, N, size)
    starts = starts if N <= ALL else starts[np.unique(np.linspace(0, len(starts) - 1, min(len(starts), POOLS)).astype(int))]
    each = N if N <= ALL else -(-SAMPLED // len(starts))
    for start in starts.tolist():
        for block in blocks_of(spec, N, start, min(start + size, N)):
            rows = np.sort(rng.choice(len(block.targets), min(each, len(block.targets)), replace=False))
            part = Block(block.targets[rows], block.columns, block.forbidden[rows])
            yield part if features.selected is None else next(among(features.selected, iter([part])))


def _panel(features: list[Features], knots: list[tuple[np.ndarray, np.ndarray]], spec: MiningSpec, block: Block
           ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(u_i, candidates above max_similarity) of the targets of a block."""
    k, levels, near = spec.k + spec.skip_first, [], []
    for start in range(0, len(block.targets), ROWS):
        rows, forbidden = block.targets[start : start + ROWS], block.forbidden[start : start + ROWS]
        x = [_rows(one, rows) for one in features]
        best, above = torch.full((len(rows), k), -torch.inf, dtype=torch.float64), np.zeros(len(rows), np.int64)
        for first in range(0, len(block.columns), COLUMNS):
            columns = block.columns[first : first + COLUMNS]
            cosines_MC = [(a @ _rows(one, columns).T).clamp(-1, 1).cpu().numpy() for a, one in zip(x, features, strict=True)]
            other = columns != forbidden[:, None]
            copies = np.any([c > (1 if spec.max_similarity is None else spec.max_similarity) for c in cosines_MC], 0) & other
            above += copies.sum(1)
            if not knots:
                continue
            u = np.min([np.interp(c, *one) for c, one in zip(cosines_MC, knots, strict=True)], 0)
            u[~other | copies | (np.prod(cosines_MC, 0) <= 0)] = -np.inf
            best = torch.cat([best, torch.from_numpy(u)], 1).topk(k, 1).values
        levels.append(best[:, -1].numpy())
        near.append(above)
    return np.concatenate(levels), np.concatenate(near)


def _rows(features: Features, ids: np.ndarray) -> torch.Tensor:
    return features.rows(torch.from_numpy(ids).to(features.device)).double()
