"""Drives the fused CPU kernel (kernel/fused.cpp): packs operands, opens a panel, sweeps, settles when memory says so, reads the result."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from helip.errors import HelipError
from helip.mining.blocks import Block, Steps
from helip.mining.criterion import Criterion
from helip.mining.features import Features, rounding_of_sums
from helip.mining.order import Order, chunks, ordered
from helip.mining.pairs import scratch

CHECKS = 4
CROWD = 4  # candidates a target, in k, that are worth a trim
STRIPS = 20_000  # between looks at the clock


class RawRows(ctypes.Structure):
    """One modality as the user has it (struct RawRows of kernel/panel.hpp): rows [N, dim] float32, or float16 where `half`; scale [N]."""

    _fields_ = (("rows", ctypes.c_void_p), ("scale", ctypes.c_void_p), ("dim", ctypes.c_int64), ("half", ctypes.c_int32))


class PackedRows(ctypes.Structure):
    """Rows of a PackedOperand as the kernel reads them (struct PackedRows of kernel/panel.hpp): `count` rows, `padded` with zeros."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("first", "second", "tails", "ids")),
        *((name, ctypes.c_int64) for name in ("count", "padded", "stride")),
    )


class PanelTask(ctypes.Structure):
    """All that the kernel needs to mine one panel of targets (struct PanelTask of kernel/panel.hpp)."""

    _fields_ = (
        ("rows", PackedRows),
        ("columns", PackedRows),
        ("image", RawRows),
        ("text", RawRows),
        ("forbidden", ctypes.c_void_p),
        ("words_first", ctypes.c_int64),
        ("words_second", ctypes.c_int64),
        ("check", ctypes.c_int64 * CHECKS),
        *((name, ctypes.c_float) for name in ("tau_first", "tau_second", "margin_first", "margin_second")),
        *((name, ctypes.c_float) for name in ("tau_image", "tau_text", "max_similarity")),
        *((name, ctypes.c_int32) for name in ("k", "symmetric", "sign", "threads")),
        ("chunks", ctypes.c_int64),
    )


class Kernel:
    """The functions of the compiled library, with their types, and its constants."""

    def __init__(self, library: ctypes.CDLL):
        facts: list[int] = [library.helip_layout(what) for what in range(6)]
        self.per_word, self.group, checks, self.bucket, self.chunk, self.chunk_bytes = facts
        assert checks == CHECKS
        self.open, self.close, self.sweep, self.settle = library.helip_open, library.helip_close, library.helip_sweep, library.helip_settle
        self.left, self.finish, self.pack = library.helip_left, library.helip_finish, library.helip_pack
        handle, int64, pointer = ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
        self.open.restype, self.left.restype = handle, int64
        self.open.argtypes, self.close.argtypes, self.left.argtypes = (pointer,), (handle,), (handle,)
        self.sweep.argtypes = (handle, int64, int64, pointer)
        self.settle.argtypes, self.finish.argtypes = (handle, ctypes.c_int), (handle, pointer, pointer)
        self.pack.argtypes = (pointer, int64, int64, int64, int64, ctypes.c_int32, pointer, pointer, int64, pointer, pointer)

    def words(self, features: Features) -> int:
        """Returns how many words a row has, padded to what a step of the kernel takes."""
        return -(-features.padded_dim // 128) * 128 // self.per_word

    def checks(self, features: Features) -> np.ndarray:
        """Returns the words after which a tile may stop, [CHECKS] int64: at 2, 3, 4 and 5 eighths of the dimensions."""
        whole = self.words(features)
        at = np.unique([whole * eighths // 8 for eighths in (2, 3, 4, 5)])
        return np.pad(at, (0, CHECKS - len(at))).astype(np.int64)


@dataclass
class PackedOperand:
    """Corpus rows `ids` in kernel order, both modalities in the filter's precision."""

    ids: np.ndarray
    padded: int
    first: np.ndarray
    second: np.ndarray | None
    tails: np.ndarray
    errors: tuple[float, ...]  # of each modality: the largest |rounded row - row|

    @property
    def resident(self) -> int:
        """The bytes of memory that it takes, temporary files left out."""
        arrays = (self.ids, self.first, self.second, self.tails)
        return sum(a.nbytes for a in arrays if a is not None and not isinstance(a, np.memmap))

    def rows(self, start: int = 0, stop: int | None = None) -> PackedRows:
        """Returns rows [start, stop) as the kernel sees them; start is a multiple of 48."""
        stop = len(self.ids) if stop is None else min(stop, len(self.ids))
        width = self.first.size // self.padded
        second = None if self.second is None else self.second[start:].ctypes.data
        first = self.first.reshape(-1)[start * width :]
        padded = -(-(stop - start) // 48) * 48
        return PackedRows(
            first.ctypes.data, second, self.tails[:, start:].ctypes.data, self.ids[start:].ctypes.data, stop - start, padded, self.padded
        )


def run(library: ctypes.CDLL, features: list[Features], criterion: Criterion, work: Iterator[Block], memory: int, workers: int) -> Steps:
    """Runs an engine, whose steps helip/mining/blocks.py describes, on the compiled kernel."""
    kernel, order = Kernel(library), ordered(features[0], workers)
    memory -= order.rank.nbytes + order.axes.nbytes
    finished = 0
    for block in work:
        columns = packed(kernel, features, block.columns, order, memory // 3)
        rows = columns if np.array_equal(block.targets, block.columns) else packed(kernel, features, block.targets, order, memory // 8)
        spare = memory - columns.resident - (rows.resident if rows is not columns else 0)
        forbidden = block.forbidden[np.searchsorted(block.targets, rows.ids)]
        height = panel_rows(kernel, criterion.k, len(rows.ids), workers, spare)
        for start in range(0, len(rows.ids), height):
            span = start, min(start + height, len(rows.ids))
            for step in mine_panel(kernel, features, criterion, order, rows, span, columns, forbidden[slice(*span)], spare, workers):
                yield finished + step * (span[1] - span[0]) if isinstance(step, float) else step
            finished += span[1] - span[0]
            yield finished


def packed(kernel: Kernel, features: list[Features], ids: np.ndarray, order: Order, spare: int) -> PackedOperand:
    """Returns the operand of the rows of corpus ids, in kernel order. spare: bytes of memory it may take; a larger one lies in a temporary
    file.
    """
    ids = np.ascontiguousarray(order.sort(ids), dtype=np.int64)
    padded = -(-len(ids) // kernel.group) * kernel.group
    word = np.uint32 if kernel.per_word == 2 else np.float32
    checks = kernel.checks(features[0])
    tails = np.zeros((CHECKS, padded), np.float32)
    axes, arrays, errors = torch.from_numpy(order.axes), [], []
    for place, one in enumerate(features):
        words = kernel.words(one)
        array, error = scratch((padded, words), word, spare // len(features)), np.zeros(padded, np.float32)
        for start, rows in chunks(one, ids):
            x = (rows @ axes if place == 0 else rows).numpy()
            lead = (tails.ctypes.data,) if place == 0 else (None,)
            kernel.pack(x.ctypes.data, len(x), x.shape[1], start, words, place == 0, array.ctypes.data, checks.ctypes.data, padded,
                        error.ctypes.data, *lead)  # fmt: skip
        arrays.append(array)
        errors.append(float(error.max()))
    return PackedOperand(ids, padded, arrays[0], arrays[1] if len(arrays) == 2 else None, tails, tuple(errors))


def margins(features: list[Features], order: Order, *operands: PackedOperand) -> list[float]:
    """Returns, for each modality, the largest difference between the filter's cosine and the exact one: |x'y' - xy| <= 2e + e^2, then the
    rounding of both sums.
    """
    out = []
    for place, one in enumerate(features):
        e = max(o.errors[place] for o in operands)
        skew = order.skew if place == 0 else 0.0
        out.append(1.01 * (2 * e + e * e + skew) + rounding_of_sums(2 * one.padded_dim) + 1e-6)
    return out


def mine_panel(kernel: Kernel, features: list[Features], criterion: Criterion, order: Order, rows: PackedOperand, span: tuple[int, int],
               columns: PackedOperand, forbidden: np.ndarray, memory: int, workers: int) -> Steps:  # fmt: skip
    """Yields the share done, from time to time, and at last (target ids, ids [n, k], scores [n, k]) of rows span[0]:span[1]; ids are
    -1 for a row with fewer than k hard pairs. forbidden: [n] the corpus id that each of these rows may not choose."""
    symmetric = rows is columns and span == (0, len(rows.ids))
    roomy = smallest_store(kernel, CROWD * criterion.k, span[1] - span[0], workers)  # to trim now and then raises floors early
    store = min(memory, roomy) * 4 // 5 // kernel.chunk_bytes
    bucket_limit = max(memory // 5 // workers // kernel.chunk_bytes, -(-3 * kernel.bucket * criterion.k // (2 * kernel.chunk)) + 40)
    place = np.full(0, -1) if symmetric else _places(columns.ids, forbidden)
    job = _panel_task(kernel, features, criterion, order, rows, span, columns, symmetric, place, store, workers)
    panel = kernel.open(ctypes.byref(job))
    try:
        done, before, groups = ctypes.c_int64(), -1, columns.padded // kernel.group
        bands = -(-job.rows.padded // kernel.bucket)
        total = bands * groups - (kernel.bucket // kernel.group * bands * (bands - 1) // 2 if symmetric else 0)
        while (state := kernel.sweep(panel, STRIPS, bucket_limit, ctypes.byref(done))) != 1:
            if state == -1:
                kernel.settle(panel, 0)
                if kernel.left(panel) < store // 2 or done.value - before < total // 100:
                    kernel.settle(panel, 1)
                before = done.value
            yield done.value / total
        targets = rows.ids[slice(*span)]
        ids, scores = np.full((len(targets), criterion.k), -1, np.int32), np.zeros((len(targets), criterion.k), np.float32)
        kernel.finish(panel, ids.ctypes.data, scores.ctypes.data)
    finally:
        kernel.close(panel)
    yield targets, ids, scores


def _places(columns: np.ndarray, forbidden: np.ndarray) -> np.ndarray:
    """Where each forbidden id lies among the columns; -1 where it does not."""
    sorter = np.argsort(columns)
    at = np.searchsorted(columns, forbidden, sorter=sorter).clip(max=len(columns) - 1)
    return np.where(columns[sorter[at]] == forbidden, sorter[at], -1).astype(np.int64)


def _panel_task(kernel: Kernel, features: list[Features], criterion: Criterion, order: Order, rows: PackedOperand, span: tuple[int, int],
                columns: PackedOperand, symmetric: bool, place: np.ndarray, store: int, workers: int) -> PanelTask:  # fmt: skip
    raw = {f.name: RawRows(f.raw.ctypes.data, f.scale.data_ptr(), f.dim, int(f.raw.dtype == np.float16)) for f in features}
    both = len(features) == 2
    first, *second = margins(features, order, rows, columns)
    taus = [tau for _, tau in criterion.modalities]
    return PanelTask(
        rows=rows.rows(*span),
        columns=columns.rows(),
        image=raw.get("image", RawRows()),
        text=raw.get("text", RawRows()),
        forbidden=place.ctypes.data,
        words_first=kernel.words(features[0]),
        words_second=kernel.words(features[1]) if both else 0,
        check=tuple(map(int, kernel.checks(features[0]))),
        tau_first=taus[0],
        tau_second=taus[-1],
        margin_first=first,
        margin_second=second[0] if both else 0.0,
        tau_image=criterion.tau_image,
        tau_text=criterion.tau_text,
        max_similarity=criterion.max_similarity,
        k=criterion.k,
        symmetric=int(symmetric),
        sign=int(criterion.signed),
        threads=workers,
        chunks=store,
    )


def smallest_store(kernel: Kernel, k: int, rows: int, workers: int) -> int:
    """Returns the bytes of candidates without which a panel of so many rows cannot be finished."""
    entries = rows * k * 1.3 + (rows / kernel.bucket + 1) * workers * kernel.chunk
    return int(entries / kernel.chunk + 64 * workers + 64) * kernel.chunk_bytes * 5 // 4


def panel_rows(kernel: Kernel, k: int, rows: int, workers: int, memory: int) -> int:
    """Returns how many rows one panel may have within `memory` bytes: all, or whole buckets. Raises HelipError where not even one bucket
    fits.
    """
    if smallest_store(kernel, k, rows, workers) <= memory:
        return rows
    count = rows // kernel.bucket
    while count and smallest_store(kernel, k, count * kernel.bucket, workers) > memory:
        count = count * 9 // 10
    if not count:
        need = smallest_store(kernel, k, kernel.bucket, workers)
        raise HelipError(
            f"memory: {(need - memory >> 20) + 1} MiB more are needed for one panel of {kernel.bucket} targets with k = {k}; give more"
        )
    return count * kernel.bucket
