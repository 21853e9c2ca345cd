"""The k nearest pairs in one modality, exact at scale by the mining engines or approximate by faiss, and what lies beside them.

Legend: N pairs, D dimensions, R rows of a shard, k neighbours, M rows of a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining import mine
from helip.mining.features import Features, checked, cosines, rounding_of_sums
from helip.mining.miner import parse_memory
from helip.mining.pairs import scratch

Modality = Literal["image", "text"]
BLOCK_BYTES = 32 << 20  # of gathered rows, or of cosines, held at once
RECALL_ROWS = 500  # sampled to measure the recall of an approximate search
CANDIDATES, PROBES = 4, 32  # approximate: candidates a neighbour that are scored exactly; inverted lists looked into


@dataclass(frozen=True)
class Neighbours:
    """The nearest pairs of rows first..first + R of a corpus. ids: int32 [R, k], nearest first, ties by smaller id; cosines: float32
    [R, k]; recall: of an approximate search, measured on a sample of the rows; None where the search was exact."""

    ids: np.ndarray
    cosines: np.ndarray
    first: int = 0
    recall: float | None = None

    def __len__(self) -> int:
        return len(self.ids)


def nearest(
    modality: Modality,
    features_ND: np.ndarray,
    k: int,
    *,
    memory: int | str = "2GiB",
    workers: int | None = None,
    device: str | None = None,
    shard: tuple[int, int] = (0, 1),
    approximate: bool = False,
) -> Neighbours:
    """The k pairs with the largest cosine to each pair of the shard (i of n), the pair itself left out.

    features_ND: [N, D] float16 or float32 of any norm, an array or a memory map. The exact result is the same bits whatever memory,
    workers, device and shards are: no threshold bounds a cosine here, the k-th best one so far does (helip.mining). `approximate` asks a
    faiss inverted file for candidates instead, scores those exactly and measures its recall; it is of use far beyond a million pairs.

    Raises HelipError for features that are not [N, D] or not finite, for k >= N, and for a budget too small.
    """
    candidates = max(CANDIDATES * k, 100) if approximate else None
    spec = MiningSpec(method=modality, k=k, tau_image=None, tau_text=None, ivf_candidates=candidates, ivf_probes=PROBES)
    image, text = (features_ND, None) if modality == "image" else (None, features_ND)
    pairs = mine(image, text, spec, memory=memory, workers=workers, device=device, shard=shard)
    features = checked(modality, features_ND)
    ids, values = pairs.ids.reshape(-1, k), pairs.scores_flat.reshape(-1, k)
    if pairs.noise.any():  # mining counts positive values only, and these rows have fewer than k of them
        filled = [scratch((len(pairs), k), array.dtype.type, parse_memory(memory) // 8) for array in (ids, values)]
        for whole, part in zip(filled, (ids, values), strict=True):
            whole[~pairs.noise] = part
        ids, values = filled
        for rows, near, near_cosines in nearest_by_product(features, np.flatnonzero(pairs.noise) + pairs.first, k):
            ids[rows - pairs.first], values[rows - pairs.first] = near, near_cosines
    recall = _recall(features, ids, pairs.first) if approximate else None
    return Neighbours(ids, values, pairs.first, recall)


def nearest_by_product(features: Features, rows: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(rows, ids [M, k], cosines [M, k]) of blocks of corpus rows, from their products with the whole corpus: exact, and dear."""
    N, slack = len(features), 2 * rounding_of_sums(features.padded_dim)
    height = max(1, BLOCK_BYTES // (4 * N))
    for start in range(0, len(rows), height):
        block = rows[start : start + height]
        rough_MN = _products(features, block)
        rough_MN[torch.arange(len(block)), torch.from_numpy(block)] = -2
        floor_M = rough_MN.topk(k, 1).values[:, -1] - slack
        row, column = torch.nonzero(rough_MN >= floor_M[:, None], as_tuple=True)
        exact = torch.cat(
            [cosines(features.rows(torch.from_numpy(block)[r]), features.rows(c)) for r, c in _together(features, row, column)]
        )
        rows_E, columns_E, exact_E = row.numpy(), column.numpy(), exact.numpy()
        best = np.lexsort((columns_E, -exact_E, rows_E))
        first = np.searchsorted(rows_E[best], np.arange(len(block)))
        take = best[first[:, None] + np.arange(k)]
        yield block, columns_E[take].astype(np.int32), exact_E[take]


def _products(features: Features, block: np.ndarray) -> torch.Tensor:
    x_MD, step = features.rows(torch.from_numpy(block)), max(1, BLOCK_BYTES // (4 * features.padded_dim))
    return torch.cat([x_MD @ features.rows(slice(s, s + step)).T for s in range(0, len(features), step)], 1)


def _together(features: Features, row: torch.Tensor, column: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    size = max(1, BLOCK_BYTES // (8 * features.padded_dim))
    yield from zip(torch.split(row, size), torch.split(column, size), strict=True)


def _recall(features: Features, ids: np.ndarray, first: int) -> float:
    """The share of the exact neighbours that `ids` holds, over rows drawn at random."""
    drawn = np.sort(np.random.default_rng(0).choice(len(ids), min(len(ids), RECALL_ROWS), replace=False))
    hits = [
        np.isin(truth, ids[row - first]).mean()
        for rows, near, _ in nearest_by_product(features, drawn + first, ids.shape[1])
        for row, truth in zip(rows, near, strict=True)
    ]
    return float(np.mean(hits))


def cosines_with(features: Features, neighbours: Neighbours) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows of the shard, float32 [M, k]) block by block: the cosines of a row and of its neighbours in another modality."""
    R, k = neighbours.ids.shape
    step = max(1, BLOCK_BYTES // (8 * k * features.padded_dim))
    for start in range(0, R, step):
        rows = slice(start, min(start + step, R))
        own = torch.arange(rows.start, rows.stop).repeat_interleave(k) + neighbours.first
        others = torch.from_numpy(neighbours.ids[rows].astype(np.int64).reshape(-1))
        yield rows, cosines(features.rows(own), features.rows(others)).reshape(-1, k).numpy()


def centred(features_ND: np.ndarray, memory: int | str = "2GiB") -> np.ndarray:
    """The features less their mean, in their own precision: image features of one encoder lie in a narrow cone, and the mean hides which
    are near. Beyond half of `memory` the copy lies in a temporary file. `helip encode --centre` gives such features in the first place."""
    N, step = len(features_ND), max(1, BLOCK_BYTES // (8 * features_ND.shape[1]))
    blocks = [slice(start, start + step) for start in range(0, N, step)]
    mean_D = sum(features_ND[rows].sum(0, dtype=np.float64) for rows in blocks) / N
    out = scratch(features_ND.shape, features_ND.dtype.type, parse_memory(memory) // 2)
    for rows in blocks:
        out[rows] = features_ND[rows] - mean_D
    return out


def of_same_pairs(image_ND: np.ndarray, text_ND: np.ndarray, device: torch.device | None = None) -> tuple[Features, Features]:
    """Both modalities, checked once; HelipError where they are not of the same pairs, or not finite."""
    image, text = checked("image", image_ND, device), checked("text", text_ND, device)
    if len(image) != len(text):
        raise HelipError(
            f"features: {len(image)} image and {len(text)} text rows: not of the same pairs; extract both from the same corpus"
        )
    return image, text
