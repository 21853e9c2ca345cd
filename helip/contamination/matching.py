"""Near-duplicates between two sets of fingerprints, without comparing all with all."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

DCT_BITS, GRADIENT_BITS = 4, 8  # that may differ in a near-duplicate
CANDIDATES = 1 << 22  # pairs compared at a time


class Matches(NamedTuple):
    """These are the pairs whose hashes differ in few bits, by item then by sample."""

    item: np.ndarray  # [P] positions in the evaluation set
    sample: np.ndarray  # [P] ids in the corpus
    distance: np.ndarray  # [P] bits of the dct hash that differ


def near_duplicates(items: np.ndarray, samples: np.ndarray, dct_bits: int = DCT_BITS, gradient_bits: int = GRADIENT_BITS) -> Matches:
    """Returns all pairs within both limits; items and samples are arrays of FINGERPRINT.

    Exact: two 64-bit words that differ in at most d bits agree on at least one of d + 1 bands, so it is enough to compare those that
    agree on a band, found by sorting.
    """
    matches = [_within(*pairs, items, samples, dct_bits, gradient_bits) for pairs in _agreeing(items["dct"], samples["dct"], dct_bits + 1)]
    item, sample, distance = (np.concatenate(column) for column in zip(*matches, strict=True)) if matches else _nothing()
    _, first = np.unique(np.stack([item, sample]), axis=1, return_index=True)  # a pair may agree on several bands
    return Matches(item[first], sample[first], distance[first])


def _nothing() -> tuple[np.ndarray, ...]:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)


def _within(item, sample, items, samples, dct_bits: int, gradient_bits: int) -> tuple[np.ndarray, ...]:
    distance = np.bitwise_count(items["dct"][item] ^ samples["dct"][sample])
    near = np.flatnonzero(distance <= dct_bits)
    item, sample, distance = item[near], sample[near], distance[near]
    near = np.bitwise_count(items["gradient"][item] ^ samples["gradient"][sample]) <= gradient_bits
    return item[near], sample[near], distance[near]


def _agreeing(item_N: np.ndarray, sample_M: np.ndarray, bands: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (item, sample) that agree on a band of bits, CANDIDATES or so at a time."""
    edges = [64 * i // bands for i in range(bands + 1)]
    for low, high in itertools.pairwise(edges):
        mask, shift = np.uint64((1 << (high - low)) - 1), np.uint64(low)
        key_M = (sample_M >> shift) & mask
        order = np.argsort(key_M, kind="stable")
        key_M, key_N = key_M[order], (item_N >> shift) & mask
        first_N, end_N = np.searchsorted(key_M, key_N), np.searchsorted(key_M, key_N, "right")
        for item, place in _ranges(first_N, end_N):
            yield item, order[place]


def _ranges(first_N: np.ndarray, end_N: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every (n, i) with first_N[n] <= i < end_N[n], in parts of about CANDIDATES; a longer range than that is cut."""
    cut = [
        (n, i, min(i + CANDIDATES, int(e)))
        for n, (f, e) in enumerate(zip(first_N, end_N, strict=True))
        if e > f
        for i in range(int(f), int(e), CANDIDATES)
    ]
    n_R, first_R, end_R = (np.array(c, np.int64) for c in zip(*cut, strict=True)) if cut else (np.zeros(0, np.int64),) * 3
    length_R = end_R - first_R
    part_R = np.cumsum(length_R) // CANDIDATES
    for part in np.split(np.arange(len(n_R)), np.flatnonzero(np.diff(part_R)) + 1):
        if len(part):
            length = length_R[part]
            start = np.repeat(first_R[part] - (np.cumsum(length) - length), length)
            yield np.repeat(n_R[part], length), start + np.arange(length.sum())
