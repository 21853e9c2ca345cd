"""The features of one modality: read where they lie, checked once, normalised row by row as they are used.

A row x is used as x * scale with scale = 1 / |x|, in float32. A cosine is 64 running sums (`LANES`), each a float32 multiply and
a float32 add per step, then folded in halves: an order that depends on nothing but the width, so that every kernel, block size,
shard, worker and device computes the same bits.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helip.errors import HelipError
from helip.io import load_array

LANES = 64
CHUNK_BYTES = 2 << 20  # of rows looked at together
ROOM = 0.3  # of a GPU's free memory that one modality's raw rows may fill


def fold(sums_P64: torch.Tensor) -> torch.Tensor:
    """Returns [P] the sums of [P, 64] running sums: halves are added until one is left."""
    width = LANES
    while width > 1:
        width //= 2
        sums_P64 = sums_P64[:, :width] + sums_P64[:, width:]
    return sums_P64[:, 0]


def inner(x_PD: torch.Tensor, y_PD: torch.Tensor) -> torch.Tensor:
    """Returns the [P] inner products of x and y [P, D], D a multiple of 64, in the fixed order. Eager torch never fuses a multiply and an
    add.
    """
    sums_P64 = x_PD[:, :LANES] * y_PD[:, :LANES]
    for start in range(LANES, x_PD.shape[1], LANES):
        sums_P64 = sums_P64 + x_PD[:, start : start + LANES] * y_PD[:, start : start + LANES]
    return fold(sums_P64)


def cosines(x_PD: torch.Tensor, y_PD: torch.Tensor) -> torch.Tensor:
    """Returns the [P] cosines of unit rows."""
    return inner(x_PD, y_PD).clamp(-1, 1)


def rounding_of_sums(dim: int) -> float:
    """Returns how far a float32 inner product of unit rows, summed in any order, can be from the one in the fixed order."""
    return 1.01 * (2 * dim + 8) * 2.0**-24  # each is within (D + 1) 2^-24 of the truth (Higham, Accuracy and Stability, sec. 3.1)


@dataclass(frozen=True)
class Features:
    """N rows of one modality. raw: [N, D] float16 or float32, an array or a memory map; scale: [N] float32, 1 / norm,
    on the device that mines; resident: raw there, None where it does not fit; selected: ids of the rows that are mined, None for all."""

    name: str
    raw: np.ndarray
    scale: torch.Tensor
    resident: torch.Tensor | None
    selected: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def count(self) -> int:
        """The number of rows that are mined."""
        return len(self.raw) if self.selected is None else len(self.selected)

    @property
    def dim(self) -> int:
        """The width D of a raw row."""
        return int(self.raw.shape[1])

    @property
    def device(self) -> torch.device:
        """The torch device that mines."""
        return self.scale.device

    @property
    def padded_dim(self) -> int:
        """D rounded up to a multiple of 64, the width of the rows that `rows` returns."""
        return -(-self.dim // LANES) * LANES

    def rows(self, ids: torch.Tensor | slice) -> torch.Tensor:
        """Returns float32 unit rows [n, padded_dim] on the device, zeros beyond dim."""
        return pad(self.raw_rows(ids).float() * self.scale[ids, None])

    def raw_rows(self, ids: torch.Tensor | slice) -> torch.Tensor:
        """Returns rows [n, D] as they are, on the device."""
        if self.resident is not None:
            return self.resident[ids]
        return _tensor(self.raw[ids if isinstance(ids, slice) else ids.cpu().numpy()]).to(self.device)


def pad(x_ND: torch.Tensor) -> torch.Tensor:
    """Returns the rows with zeros up to a multiple of 64 dimensions."""
    return torch.nn.functional.pad(x_ND, (0, -x_ND.shape[1] % LANES)) if x_ND.shape[1] % LANES else x_ND


def _tensor(values: np.ndarray) -> torch.Tensor:
    """A tensor over the array's memory; nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(values)


def load(path: str | Path) -> np.ndarray:
    """Returns the features in a .npy file, memory-mapped. Raises HelipError where it is missing, truncated or of another format."""
    return load_array(path, "extract the features again (`helip encode`), or correct the path")


def shaped(name: str, raw: Any) -> np.ndarray:
    """Returns the array [N, D] in memory order, as float16 or float32: torch tensors of any device, and other float types, are copied.

    Raises HelipError for what holds no floats, and for another shape.
    """
    if isinstance(raw, np.ma.MaskedArray) or (isinstance(raw, torch.Tensor) and (raw.layout != torch.strided or raw.is_meta)):
        what = "a masked array" if isinstance(raw, np.ndarray) else "a tensor on 'meta'" if raw.is_meta else "a sparse tensor"
        raise HelipError(f"{name} features: expected a number in each place of [N, D], got {what}; give a whole array")
    if isinstance(raw, torch.Tensor):
        raw = raw.detach().cpu()
        raw = (raw if raw.dtype in (torch.float16, torch.float32, torch.float64) or not raw.is_floating_point() else raw.float()).numpy()
    if isinstance(raw, np.ndarray) and raw.dtype.kind == "f" and raw.dtype not in (np.float16, np.float32):
        raw = _in_float32(name, raw)
    if not isinstance(raw, np.ndarray) or raw.ndim != 2 or 0 in raw.shape or raw.dtype.kind != "f":
        what = f"{raw.dtype} {list(raw.shape)}" if isinstance(raw, np.ndarray) else type(raw).__name__
        array = isinstance(raw, np.ndarray) and raw.dtype.kind == "f"
        remedy = "give one row of D numbers a pair" if array else "give numpy.asarray(x, 'float32') or a torch tensor of floats"
        raise HelipError(f"{name} features: expected a float16 or float32 array [N, D], got {what}; {remedy}")
    return np.ascontiguousarray(raw)


def _in_float32(name: str, raw: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = raw.astype(np.float32)
    if raw.ndim == 2 and len(beyond := np.flatnonzero((np.isinf(values) & np.isfinite(raw)).any(1))):
        _refuse(name, raw[beyond[0]], beyond.tolist())
    return values


def checked(name: str, raw: np.ndarray, device: torch.device | None = None, selected: np.ndarray | None = None) -> Features:
    """Returns features that are fit to be mined. Reads every row that is selected once; raises HelipError for NaN, infinity and zeros."""
    raw, device = shaped(name, raw), device or torch.device("cpu")
    resident: torch.Tensor | None = _tensor(raw)
    if device.type == "cuda":
        fits = raw.nbytes < ROOM * torch.cuda.mem_get_info(device)[0]
        resident = _tensor(raw).to(device) if fits else None
    features = Features(name, raw, torch.zeros(len(raw), device=device), resident, selected)
    step = max(1, CHUNK_BYTES // (4 * raw.shape[1])) * (1 if device.type == "cpu" else 32)
    for start in range(0, features.count, step):
        rows = slice(start, start + step)
        ids = rows if selected is None else torch.from_numpy(selected[rows]).to(device)
        features.scale[ids] = _scales(features.raw_rows(ids))
    bad = torch.nonzero(features.scale.isnan())[:, 0].tolist()
    if bad:
        _refuse(name, raw[bad[0]], bad)
    return features


def _scales(raw_ND: torch.Tensor) -> torch.Tensor:
    x_ND = pad(raw_ND.float())
    norms = inner(x_ND, x_ND).sqrt()
    # below 1e-15 squares lose bits to underflow, above 1e18 they overflow: the row would not come out with unit norm
    return torch.where((norms > 1e-15) & (norms < 1e18), 1 / norms, torch.nan)


def _refuse(name: str, row: np.ndarray, bad: list[int]) -> None:
    what = "zeros" if not row.any() else "numbers too large or too small for float32" if np.isfinite(row).all() else "NaN or infinity"
    raise HelipError(
        f"{name} features: row {bad[0]} holds {what} ({len(bad)} such rows): quarantine these samples or extract the features again"
    )
