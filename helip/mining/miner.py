"""`mine`: from two arrays of features to a PairSet, panel by panel within a memory budget."""

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining import blocks
from helip.mining.criterion import Criterion
from helip.mining.features import Features, checked
from helip.mining.pairs import PairSet, shard_rows

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True)
class Panel:
    """Targets that are mined together, and their candidates. forbidden: the one candidate each target may not choose."""

    rows: np.ndarray
    columns: np.ndarray
    forbidden: np.ndarray


def mine(
    image_features: np.ndarray | None,
    text_features: np.ndarray | None,
    spec: MiningSpec,
    *,
    memory: int | str = "2GiB",
    workers: int | None = None,
    device: str | None = None,
    shard: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> PairSet:
    """The hard pairs of every target (of a shard's targets).

    image_features, text_features: [N, D] float16 or float32, arrays or memory maps, of any norm; None for a modality that the
    method does not use. memory: what mining may allocate, beyond the interpreter and its libraries. workers: threads. device:
    None for the CPU, or a torch device. The result is the same bits whatever memory, workers, device and shards are.

    Raises HelipError for features that are not finite, not [N, D] or not of one length, k >= N, and a budget too small.
    """
    criterion = Criterion.of(spec)
    features = _features(image_features, text_features, criterion)
    corpus_size = len(features[0])
    _check(spec, corpus_size)
    first, end = shard_rows(corpus_size, shard)
    ids = np.full((end - first, spec.k), -1, np.int32)
    scores = np.zeros((end - first, spec.k), np.float32)
    with torch.inference_mode(), _bar(end - first, progress) as bar:
        for panel, found in _mined(features, criterion, spec, (first, end), parse_memory(memory), device):
            ids[panel.rows - first], scores[panel.rows - first] = found
            bar.update(len(panel.rows))
    noise = ids[:, 0] < 0
    offsets = np.concatenate([[0], np.cumsum(~noise, dtype=np.int64) * spec.k])
    return PairSet(ids[~noise].ravel(), scores[~noise].ravel(), offsets, noise, spec, corpus_size, shard)


def _bar(total: int, progress: bool) -> tqdm:
    """Alive on a terminal, a line a minute in a log."""
    return tqdm(total=total, unit=" targets", disable=not progress, mininterval=0.2 if sys.stderr.isatty() else 60)


def _mined(features, criterion, spec, rows, memory, device) -> Iterator[tuple[Panel, tuple[np.ndarray, np.ndarray]]]:
    target = torch.device(device or "cpu")
    operands = [blocks.Operand(f, tau, target) for f, (_, tau) in zip(features, criterion.modalities, strict=True)]
    height, block, limit = _panel_size(memory, sum(f.padded_dim for f in features), spec.k)
    for panel in panels(spec, len(features[0]), rows, height):
        *_, found = blocks.mine_panel(operands, criterion, panel.rows, panel.columns, panel.forbidden, block, limit)
        yield panel, found


def _panel_size(memory: int, dim: int, k: int) -> tuple[int, int, int]:
    """(targets, candidates at a time, waiting entries) that keep a panel within the budget."""
    for height in (4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        limit = 2 * height * k
        if height * height * 160 + limit * 120 + 2 * height * dim * 12 <= memory:
            return height, height, limit
    raise HelipError(f"memory: {memory} bytes cannot hold one target with k = {k}; give more (--memory 2GiB is the default)")


def panels(spec: MiningSpec, corpus_size: int, rows: tuple[int, int], height: int) -> Iterator[Panel]:
    """The work: every target in [first, end) once."""
    first, end = rows
    if spec.method != "fast_hpm" or spec.pool >= corpus_size:
        everything = np.arange(corpus_size)
        for start in range(first, end, height):
            targets = np.arange(start, min(start + height, end))
            yield Panel(targets, everything, targets)
        return
    start = first
    while start < end:
        number = start // spec.pool_block
        pool, spare = draw_pool(spec, corpus_size, number)
        stop = min(start + height, (number + 1) * spec.pool_block, end)
        targets = np.arange(start, stop)
        yield Panel(targets, np.append(pool, spare), np.where(np.isin(targets, pool), targets, spare))
        start = stop


def draw_pool(spec: MiningSpec, corpus_size: int, block: int) -> tuple[np.ndarray, int]:
    """The pool of a block of targets, C candidates and one spare: a target that is in the pool takes the spare in its own place, so
    that each has C candidates drawn uniformly from the corpus without itself (section 3.2), and a block one matrix product."""
    drawn = np.random.default_rng([spec.seed, block]).choice(corpus_size, spec.pool + 1, replace=False)
    return drawn[:-1], int(drawn[-1])


def _features(image: np.ndarray | None, text: np.ndarray | None, criterion: Criterion) -> list[Features]:
    given = {"image": image, "text": text}
    for name, _ in criterion.modalities:
        if given[name] is None:
            raise HelipError(f"{name} features: missing, and this mining method reads them")
    used = {name: given[name] for name, _ in criterion.modalities}
    if len({len(values) for values in used.values()}) > 1:
        lengths = " and ".join(f"{len(values)} {name}" for name, values in used.items())
        raise HelipError(f"features: {lengths} rows: not of the same pairs; extract both from the same corpus")
    return [checked(name, values) for name, values in used.items()]


def _check(spec: MiningSpec, corpus_size: int) -> None:
    candidates = min(corpus_size - 1, spec.pool or corpus_size)
    if spec.k > candidates:
        raise HelipError(f"k = {spec.k}: a target has only {candidates} candidates; choose a smaller k")


def parse_memory(memory: int | str) -> int:
    """Bytes: 1500000, '2GiB', '512 MB' (units are powers of 1024)."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(memory).lower())
    if not match or not math.isfinite(float(match[1])):
        raise HelipError(f"memory: '{memory}' is no size; write for example 2GiB")
    return int(float(match[1]) * UNITS[match[2]])
