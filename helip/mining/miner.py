"""`mine`: from two arrays of features to a PairSet, within a memory budget, on whatever machine this is."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining.blocks import Block, Steps, among, blocks_of, selected_ids
from helip.mining.criterion import Criterion
from helip.mining.engines import compile as build
from helip.mining.engines import cpp as fused
from helip.mining.engines import ivf
from helip.mining.engines import torch_engine as blocks
from helip.mining.features import Features, checked, shaped
from helip.mining.pairs import PairSet, scratch, shard_rows
from helip.mining.thresholds import Thresholds, resolved
from helip.progress import Progress

CORES = os.cpu_count() or 1
WORKING = 24 << 20  # bytes that chunks under way and the matrix library take whatever the corpus is
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def mine(
    image_features: np.ndarray | torch.Tensor | None,
    text_features: np.ndarray | torch.Tensor | None,
    spec: MiningSpec,
    *,
    keep: np.ndarray | torch.Tensor | None = None,
    memory: int | str = "2GiB",
    workers: int | None = None,
    device: str | None = None,
    shard: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> PairSet:
    """Returns the hard pairs of every target (of a shard's targets).

    image_features, text_features: [N, D] floats, arrays, memory maps or torch tensors, of any norm; float16 and float32 arrays are not
    copied; None for a modality that the method does not use. keep: [N] bool, the pairs that take part, as `helip select` writes it;
    others are neither targets nor candidates and their features are not looked at, so that the result is that of a corpus of the kept
    pairs, ids being those of all N.
    memory: what mining may allocate, beyond the interpreter and its libraries; working arrays that do not fit
    lie in $TMPDIR. workers: threads, at most one for each core. device: None for the CPU, or a torch device. The result is the same bits
    whatever memory, workers, device and shards are.

    With `outliers` the tau that it stands for is found first (helip/mining/thresholds.py), the same for every shard; it is in `metadata`.

    Raises HelipError for features that are not finite, not [N, D] or not of one length, a keep that is not [N] bool or keeps fewer than
    two pairs, k >= N, and a budget too small.
    """
    if not isinstance(spec, MiningSpec):
        raise HelipError(f"spec: expected a MiningSpec, got {type(spec).__name__}; write helip.MiningSpec(k=50)")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise HelipError(f"workers = {workers!r}: expected an integer of at least 1, or None for all cores")
    if spec.method in ("random", "truth"):
        raise HelipError(f"method '{spec.method}' reads no features: helip/mining/references.py makes such pairs")
    keep = keep.cpu().numpy() if isinstance(keep, torch.Tensor) else keep
    criterion, budget, workers = Criterion.of(spec), parse_memory(memory), min(workers or CORES, CORES)
    used = _device(None if spec.ivf_candidates is not None else device)  # a faiss index is searched on the CPU
    with torch.inference_mode(), _threads(workers), _current(used):
        features = _features(image_features, text_features, keep, criterion, used)
        return _mined(features, spec, keep, budget, workers, shard, progress)


def _mined(features: list[Features], spec: MiningSpec, keep: np.ndarray | None, budget: int, workers: int, shard: tuple[int, int],
           progress: bool) -> PairSet:  # fmt: skip
    _check(spec, features[0].count)
    declared, spec, facts = spec, *_settled(spec, features)
    first, end = span = shard_rows(len(features[0]), shard)
    if (selected := features[0].selected) is not None:
        first, end = (int(at) for at in np.searchsorted(selected, span))  # targets by their place among the selected
    ids, scores = (scratch((end - first, spec.k), dtype, budget // 8) for dtype in (np.int32, np.float32))
    held = [a for a in (ids, scores, selected) if a is not None and not isinstance(a, np.memmap)] + [f.scale for f in features]
    budget -= WORKING + sum(a.nbytes for a in held)
    work = blocks_of(spec, features[0].count, first, end)
    with Progress("mining", end - first, "targets", quiet=not progress) as meter:
        for step in _engine(features, spec, work if selected is None else among(selected, work), budget, workers):
            match step:
                case (targets, found_ids, found_scores):
                    rows = (targets if selected is None else np.searchsorted(selected, targets)) - first
                    ids[rows], scores[rows] = found_ids, found_scores
                case done:
                    meter.update(int(done) - meter.done)
    pairs = _pair_set(ids, scores, declared, len(features[0]), shard, keep)
    return replace(pairs, metadata=facts)


def _settled(spec: MiningSpec, features: list[Features]) -> tuple[MiningSpec, dict[str, Any]]:
    """(the spec that an engine follows: tau found, k with the ranks that are skipped; what pairs.json says of that)."""
    facts: dict[str, Any] = {}
    if spec.outliers is not None or spec.max_similarity is not None:
        thresholds = (Thresholds.copies if spec.outliers is None else Thresholds.of)(features, spec)
        if spec.outliers is not None:
            facts |= {"tau": thresholds.tau(spec.outliers), "tau_quantile": thresholds.quantile(spec.outliers)}
            spec = resolved(spec, thresholds)
        if spec.max_similarity is not None:
            counts = zip(("pairs", "targets"), thresholds.near, strict=True)
            facts["near_duplicates"] = {"sampled_targets": len(thresholds.levels), **dict(counts)}
    return spec.model_copy(update={"k": spec.k + spec.skip_first}), facts


def _engine(features: list[Features], spec: MiningSpec, work: Iterator[Block], memory: int, workers: int) -> Steps:
    """The fastest there is: Triton on a GPU that has it, the compiled kernel on a CPU with a compiler, else torch."""
    device, criterion = features[0].device, Criterion.of(spec)
    if spec.ivf_candidates is not None:
        return ivf.run(features, criterion, work, workers, candidates=spec.ivf_candidates, probes=spec.ivf_probes)
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        from helip.mining.engines import triton_engine as gpu

        return gpu.run(features, criterion, work, workers)
    library = build.library() if device.type == "cpu" else None
    if library is not None:
        return fused.run(library, features, criterion, work, memory, workers)
    return blocks.run(features, criterion, work, memory, workers)


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or "cpu")
    except RuntimeError:
        raise HelipError(f"device: '{name}' is none that torch knows; write cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise HelipError(f"device: '{name}' cannot mine; write cpu or cuda")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise HelipError(f"device: '{name}' is not to be seen from here ({torch.cuda.device_count()} CUDA devices); mine on the CPU")
    return device


def _current(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Makes a GPU the current one: Triton launches its kernels there, wherever the tensors lie."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


@contextlib.contextmanager
def _threads(workers: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(workers)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pair_set(ids: np.ndarray, scores: np.ndarray, spec: MiningSpec, corpus_size: int, shard: tuple[int, int],
              keep: np.ndarray | None = None) -> PairSet:  # fmt: skip
    """Moves the targets that have hard pairs together, in place. ids, scores: of the targets that `keep` keeps."""
    empty = np.array(ids[:, 0] < 0)
    good, filled, step = np.flatnonzero(~empty), 0, max(1, (8 << 20) // spec.k)
    flat = ids.reshape(-1), scores.reshape(-1)
    for start in range(0, len(good), step):
        part = good[start : start + step]
        to = slice(filled * spec.k, (filled + len(part)) * spec.k)  # never beyond where its rows were
        for values, table in zip(flat, (ids, scores), strict=True):
            values[to] = table[part, spec.skip_first :].reshape(-1)
        filled += len(part)
    noise, kept = empty, None if keep is None else keep.copy()
    if kept is not None:
        noise = ~kept[slice(*shard_rows(corpus_size, shard))]
        noise[~noise] = empty
    offsets = np.concatenate([[0], np.cumsum(~noise, dtype=np.int64) * spec.k])
    result = slice(filled * spec.k)
    return PairSet(flat[0][result], flat[1][result], offsets, noise, spec, corpus_size, shard, kept=kept)


def _features(image: Any, text: Any, keep: np.ndarray | None, criterion: Criterion,
              device: torch.device) -> list[Features]:  # fmt: skip
    given = {"image": image, "text": text}
    for name, _ in criterion.modalities:
        if given[name] is None:
            raise HelipError(f"{name} features: missing, and this mining method reads them")
    used = {name: shaped(name, values) for name, _ in criterion.modalities if (values := given[name]) is not None}
    if len({len(values) for values in used.values()}) > 1:
        lengths = " and ".join(f"{len(values)} {name}" for name, values in used.items())
        raise HelipError(f"features: {lengths} rows: not of the same pairs; extract both from the same corpus")
    selected = None if keep is None else selected_ids(keep, len(next(iter(used.values()))))
    return [checked(name, values, device, selected) for name, values in used.items()]


def _check(spec: MiningSpec, corpus_size: int) -> None:
    candidates, wanted = min(corpus_size - 1, spec.pool or corpus_size), spec.k + spec.skip_first
    skipped = f" and skip_first = {spec.skip_first}" if spec.skip_first else ""
    if spec.ivf_candidates is not None and (spec.method == "fast_hpm" or spec.ivf_candidates < wanted):
        raise HelipError(f"ivf_candidates = {spec.ivf_candidates}: give at least k = {wanted}, and a method other than fast_hpm")
    if wanted > candidates:
        raise HelipError(f"k = {spec.k}{skipped}: a target has only {candidates} candidates; choose a smaller k")


def parse_memory(memory: int | str) -> int:
    """Returns the bytes of a size such as 1500000, '2GiB' or '512 MB' (units are powers of 1024). Raises HelipError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(memory).lower())
    if not match:
        raise HelipError(f"memory: '{memory}' is no size; write for example 2GiB")
    return int(float(match[1]) * UNITS[match[2]])
