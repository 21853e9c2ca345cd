"""Mined pairs beside a float64 brute force over a sample of targets: how many differ, and whether float32 could have told."""

from pathlib import Path

import numpy as np

EPS = 1e-6  # two float32 cosines, or scores, nearer than this may change places by rounding alone
TOGETHER = 64  # targets compared with the corpus at once


def against_float64(image: Path, text: Path, ids: np.ndarray, tau: float, targets: int = 400) -> dict[str, int]:
    """ids: [N, k] of `mine`, -1 for noise, both modalities bounded by tau. Half of the targets that are checked have hard pairs, where so
    many do. Those whose set differs are float32_ties where a cosine lies within EPS of tau, or a score within EPS of the k-th, and
    true_differences where neither is so."""
    x, y = (_unit(np.load(path, mmap_mode="r")) for path in (image, text))
    order = np.random.default_rng(1).permutation(len(ids))
    chosen = np.unique(np.concatenate([order[ids[order, 0] >= 0][: targets // 2], order[: targets // 2]]))
    counted = {"targets_checked": len(chosen), "float32_ties": 0, "true_differences": 0}
    for start in range(0, len(chosen), TOGETHER):
        rows = chosen[start : start + TOGETHER]
        for i, a, b in zip(rows, x[rows] @ x.T, y[rows] @ y.T, strict=True):
            a[i] = b[i] = -1
            if {*ids[i].tolist()} - {-1} != _expected(a, b, tau, ids.shape[1]):
                counted["float32_ties" if _unclear(a, b, tau, ids.shape[1]) else "true_differences"] += 1
    return counted


def _unit(features: np.ndarray) -> np.ndarray:
    x = features.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _expected(a: np.ndarray, b: np.ndarray, tau: float, k: int) -> set[int]:
    j = np.flatnonzero((a > tau) & (b > tau))
    return set(j[np.lexsort((j, -(a * b)[j]))][:k].tolist()) if len(j) >= k else set()


def _unclear(a: np.ndarray, b: np.ndarray, tau: float, k: int) -> bool:
    near = (a > tau - EPS) & (b > tau - EPS)
    at_tau = near & (np.minimum(np.abs(a - tau), np.abs(b - tau)) < EPS)
    scores = np.sort((a * b)[near])[::-1]
    return bool(at_tau.any()) or (len(scores) > k and scores[k - 1] - scores[k] < EPS)
