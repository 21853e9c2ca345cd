"""The order of rows and of dimensions that lets most of the work be skipped. It changes how fast, never what.

Rows of one cluster lie together, so that a tile of unlike rows has no pair above tau; dimensions are rotated to principal axes, so
that a tile shows after a few of them that it has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from helip.mining.features import CHUNK_BYTES, Features

SAMPLE = 20_000  # rows that axes are found on
PREFIX = 64  # principal axes that clusters are found in
POINTS = 40  # sampled rows for a cluster
SMALL, MOST = 1000, 4096  # rows not worth ordering; clusters


@dataclass(frozen=True)
class Order:
    """rank: [N] int32, where each row goes that is mined. axes: [padded_dim, padded_dim] float32, columns the principal axes, largest
    first. skew: how much a cosine can change because the axes are not quite orthonormal and the rotation is rounded."""

    rank: np.ndarray
    axes: np.ndarray
    skew: float

    def sort(self, ids: np.ndarray) -> np.ndarray:
        """Returns the corpus ids in kernel order, rows of one cluster side by side. All of them must be rows that are mined."""
        return ids[np.argsort(self.rank[ids], kind="stable")]


def chunks(features: Features, ids: np.ndarray | None = None) -> Iterator[tuple[int, torch.Tensor]]:
    """Yields (start, unit rows) of `ids` in that order, or of all rows in their own, some megabytes at a time."""
    device, count = features.device, len(features) if ids is None else len(ids)
    step = max(1, CHUNK_BYTES // (4 * features.padded_dim)) * (1 if device.type == "cpu" else 32)
    for start in range(0, count, step):
        where = slice(start, start + step)
        yield start, features.rows(where if ids is None else torch.from_numpy(ids[where]).to(device))


def ordered(features: Features, workers: int) -> Order:
    """Returns the order by clusters (spherical k-means on the leading axes), chained by similarity; within one, nearest to its centre
    first.
    """
    rng, count = np.random.default_rng(0), features.count
    axes = principal_axes(features, rng)
    if count < SMALL:
        return Order(np.arange(len(features), dtype=np.int32), axes, _skew(axes))
    label, nearness = _clustered(features, axes[:, :PREFIX], int(min(1.5 * count**0.5, MOST)), rng, workers)
    order = np.lexsort((-nearness, label))
    rank = np.zeros(len(features), np.int32)
    rank[order if features.selected is None else features.selected[order]] = np.arange(count, dtype=np.int32)
    return Order(rank, axes, _skew(axes))


def principal_axes(features: Features, rng: np.random.Generator) -> np.ndarray:
    """Returns the axes [padded_dim, padded_dim] of the second moment about the origin, largest first: inner products are to be summed
    early.
    """
    moment = torch.zeros(features.padded_dim, features.padded_dim, device=features.device)
    for _, x in chunks(features, sampled(features, SAMPLE, rng)):
        moment += x.T @ x
    return np.ascontiguousarray(np.linalg.eigh(moment.double().cpu().numpy())[1][:, ::-1], dtype=np.float32)


def sampled(features: Features, most: int, rng: np.random.Generator) -> np.ndarray:
    """Returns ids of at most `most` rows that are mined, in order."""
    drawn = np.sort(rng.choice(features.count, min(features.count, most), replace=False))
    return drawn if features.selected is None else features.selected[drawn]


def _skew(axes: np.ndarray) -> float:
    """|x'VV'y - x'y| <= |VV' - I|; each of D rounded sums is within (D + 1) 2^-24 of the truth, so the row within sqrt(D) of that."""
    dim = len(axes)
    exact = axes.astype(np.float64)
    return float(np.linalg.norm(exact @ exact.T - np.eye(dim)) + 2.02 * (dim + 1) * 2.0**-24 * dim**0.5)


def _clustered(
    features: Features, axes: np.ndarray, clusters: int, rng: np.random.Generator, workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of each row that is mined, numbered along the chain, and its inner product with that cluster's centre."""
    import faiss

    device = features.device
    axes_DA = torch.from_numpy(np.ascontiguousarray(axes)).to(device)
    points = torch.cat([x @ axes_DA for _, x in chunks(features, sampled(features, clusters * POINTS, rng))]).cpu().numpy()
    faiss.omp_set_num_threads(workers)
    means = faiss.Kmeans(PREFIX, clusters, niter=8, spherical=True, max_points_per_centroid=POINTS, min_points_per_centroid=1, seed=1)
    means.train(points)
    assert means.centroids is not None
    centres_DC = axes_DA @ torch.from_numpy(means.centroids.T.copy()).to(device)
    label, nearness = (torch.empty(features.count, dtype=d) for d in (torch.int64, torch.float32))
    for start, x in chunks(features, features.selected):
        nearness[start : start + len(x)], label[start : start + len(x)] = (x @ centres_DC).max(1)
    return _chained(means.centroids)[label.numpy()], nearness.numpy()


def _chained(centres: np.ndarray) -> np.ndarray:
    """The place of each centre in a chain from nearest to nearest."""
    place, left, at = np.zeros(len(centres), np.int32), np.ones(len(centres), bool), 0
    for step in range(len(centres)):
        place[at], left[at] = step, False
        at = int(np.where(left, centres @ centres[at], -np.inf).argmax())
    return place
