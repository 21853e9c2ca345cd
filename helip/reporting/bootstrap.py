"""The paired bootstrap over trainings and test items: what each resample makes of a mean of comparisons.

A resample draws the trainings of a start once, whatever they are compared on, and the items of a test set once, whoever is compared on
them: what two comparisons or two columns have in common varies with both. How often each resample draws each item is thus one matrix of
a test set, which serves every comparison on it: the items' part of a bootstrap is one matrix product.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from helip.reporting.statistics import Paired

BLOCK = 1 << 22  # numbers drawn at a time
CACHED = 1 << 27  # counts of a test set that stay in memory: 10,000 resamples of 13,000 items
SETS = 32  # whose counts do: more than any table has, or each row of a table would draw them all again
FEW = 16  # items that differ alike, on average, from which on their kinds are drawn


def bootstrap(compared: Sequence["Paired"], resamples: int) -> np.ndarray:
    """Returns [resamples] of the mean over comparisons, which weigh the same, as do the columns of each; in points."""
    weights = [_training_draws(p.start, p.clusters, resamples) / (len(compared) * len(p.columns)) for p in compared]
    sets: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for p, weights_RS in zip(compared, weights, strict=True):
        for name, d_Sn in p.columns:
            sets.setdefault((name, d_Sn.shape[1]), []).append((weights_RS, d_Sn))
    total_R = np.zeros(resamples)
    for (name, _), parts in sets.items():
        weights_RS, d_Sn = np.concatenate([w for w, _ in parts], 1), np.concatenate([d for _, d in parts])
        total_R += _over_items(name, weights_RS, d_Sn)
    return 100 * total_R


def _over_items(name: str, weights_RS: np.ndarray, d_Sn: np.ndarray) -> np.ndarray:
    """The weighted mean over drawn items of each resample, [R]."""
    n = d_Sn.shape[1]
    kinds_SK, count_K = np.unique(d_Sn, axis=1, return_counts=True)
    if FEW * len(count_K) <= n:  # items that differ alike are exchangeable: drawing how many of each kind is drawing the items
        rng, room = _generator("items", name, str(n)), max(1, BLOCK // len(count_K))
        parts = [weights_RS[first : first + room] for first in range(0, len(weights_RS), room)]
        return np.concatenate([((w @ kinds_SK) * rng.multinomial(n, count_K / n, size=len(w))).sum(1) / n for w in parts])
    d_nS = np.ascontiguousarray(d_Sn.T, np.float32)
    drawn_RS = np.concatenate([counts_Bn.astype(np.float32) @ d_nS for counts_Bn in _item_counts(name, n, len(weights_RS))])
    total_R: np.ndarray = (weights_RS * drawn_RS).sum(1) / n
    return total_R


def _item_counts(name: str, n: int, resamples: int) -> Iterable[np.ndarray]:
    """How often each resample draws each of the n items of a test set: uint8 [resamples, n], in blocks of rows."""
    return _cached_counts(name, n, resamples) if n * resamples <= CACHED else _drawn_counts(name, n, resamples)


@functools.lru_cache(maxsize=SETS)
def _cached_counts(name: str, n: int, resamples: int) -> list[np.ndarray]:
    return list(_drawn_counts(name, n, resamples))


def _drawn_counts(name: str, n: int, resamples: int) -> Iterator[np.ndarray]:
    rng, room = _generator("items", name, str(n)), max(1, BLOCK // n)
    for first in range(0, resamples, room):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(room, resamples - first)).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _training_draws(start: str, clusters: tuple[str, ...], resamples: int) -> np.ndarray:
    """[resamples, S]: the weight of each training in each resample, rows adding up to 1. All comparisons of a start share it."""
    names, member_S = np.unique(np.array(clusters), return_inverse=True)
    rng = _generator("trainings", start, *names)
    weights_RS = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)[:, member_S]
    return weights_RS / weights_RS.sum(1, keepdims=True)


def _generator(*key: str) -> np.random.Generator:
    return np.random.default_rng(list("\0".join(key).encode()))
