"""The features of one modality: read where they lie, checked once, normalised row by row as they are used.

A row x is used as x * scale with scale = 1 / |x|, in float32. A cosine is 64 running sums (`LANES`), each a float32 multiply and
a float32 add per step, then folded in halves: an order that depends on nothing but the width, so that every kernel, block size,
shard, worker and device computes the same bits.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helip.errors import HelipError

LANES = 64
CHUNK_BYTES = 8 << 20  # of rows looked at together


def fold(sums_P64: np.ndarray) -> np.ndarray:
    """[P, 64] running sums -> [P]: halves are added until one is left. Works on numpy arrays and torch tensors alike."""
    width = LANES
    while width > 1:
        width //= 2
        sums_P64 = sums_P64[:, :width] + sums_P64[:, width:]
    return sums_P64[:, 0]


def cosines(x_PD, y_PD):
    """[P] cosines of unit rows x and y [P, D], D a multiple of 64, in the fixed order. Numpy arrays or torch tensors (any device)."""
    sums_P64 = x_PD[:, :LANES] * y_PD[:, :LANES]
    for start in range(LANES, x_PD.shape[1], LANES):
        sums_P64 = sums_P64 + x_PD[:, start : start + LANES] * y_PD[:, start : start + LANES]
    return fold(sums_P64).clip(-1, 1)


def rounding_of_sums(dim: int) -> float:
    """How far a float32 inner product of unit rows, summed in any order, can be from the fixed-order one."""
    return 1.01 * (2 * dim + 8) * 2.0**-24  # each is within (D + 1) 2^-24 of the truth (Higham, Accuracy and Stability, sec. 3.1)


@dataclass(frozen=True)
class Features:
    """N rows of one modality. raw: [N, D] float16 or float32, an array or a memory map; scale: [N] float32, 1 / norm."""

    name: str
    raw: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def dim(self) -> int:
        return self.raw.shape[1]

    @property
    def padded_dim(self) -> int:
        return -(-self.dim // LANES) * LANES

    def rows(self, ids: np.ndarray | slice) -> np.ndarray:
        """[n, padded_dim] float32 unit rows, zeros beyond dim."""
        x_ND = self.raw[ids].astype(np.float32) * self.scale[ids, None]
        return np.pad(x_ND, ((0, 0), (0, self.padded_dim - self.dim)))


def load(path: str | Path) -> np.ndarray:
    """A .npy file of features, memory-mapped."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise HelipError(f"{path}: not found; extract the features first (`helip encode`) or correct the path") from None
    except (ValueError, EOFError, OSError) as error:
        raise HelipError(f"{path}: not a whole .npy array ({error}); it is truncated or of another format, extract it again") from None


def checked(name: str, raw: np.ndarray, where: str | None = None) -> Features:
    """Features fit to be mined, or one sentence saying what is wrong with them. Reads every row once."""
    where = where or f"{name} features"
    if not isinstance(raw, np.ndarray) or raw.ndim != 2 or 0 in raw.shape or raw.dtype not in (np.float16, np.float32):
        what = f"{raw.dtype} {list(raw.shape)}" if isinstance(raw, np.ndarray) else type(raw).__name__
        raise HelipError(f"{where}: expected a float16 or float32 array of shape [N, D], got {what}; convert it with .astype('float32')")
    raw = np.ascontiguousarray(raw)
    scale = np.empty(len(raw), np.float32)
    step = max(1, CHUNK_BYTES // (4 * raw.shape[1]))
    for start in range(0, len(raw), step):
        scale[start : start + step] = _scales(raw[start : start + step])
    bad = np.flatnonzero(~np.isfinite(scale))
    if len(bad):
        row = raw[bad[0]]
        what = "zeros" if not row.any() else "numbers too large or small for float32" if np.isfinite(row).all() else "NaN or infinity"
        raise HelipError(
            f"{where}: row {bad[0]} holds {what} ({len(bad)} such rows); quarantine these samples or extract the features again"
        )
    return Features(name, raw, scale)


def _scales(raw_ND: np.ndarray) -> np.ndarray:
    dim = raw_ND.shape[1]
    x_ND = np.pad(raw_ND.astype(np.float32), ((0, 0), (0, -dim % LANES)))
    with np.errstate(all="ignore"):
        squares = x_ND[:, :LANES] ** 2
        for start in range(LANES, x_ND.shape[1], LANES):
            squares = squares + x_ND[:, start : start + LANES] ** 2
        norms = np.sqrt(fold(squares))
        # below 1e-15 squares lose bits to underflow, above 1e18 they overflow: the row would not come out with unit norm
        return np.where((norms > 1e-15) & (norms < 1e18), np.float32(1) / norms, np.float32(np.nan))
