"""A feature cache on disk: features.npy, [N, D] unit rows in the order of the corpus' ids, and features.json beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helip.errors import HelipError
from helip.io import load_array, read_json

BLOCK = 65536  # rows checked at a time


@dataclass(frozen=True)
class Features:
    """Memory-mapped features of one corpus by one encoder; `metadata` is features.json."""

    array: np.ndarray  # [N, D] float16 or float32, unit rows
    metadata: dict[str, Any]
    path: Path

    def __len__(self) -> int:
        return len(self.array)

    @property
    def dim(self) -> int:
        """The width D of a feature."""
        return self.array.shape[1]

    @property
    def corpus_digest(self) -> str:
        """The digest of the corpus whose features these are."""
        return self.metadata["corpus_digest"]

    @classmethod
    def open(cls, folder: Path, corpus_digest: str | None = None) -> "Features":
        """Opens the features in `folder`. Raises HelipError where they are truncated, hold NaN, or belong to another corpus than
        `corpus_digest`.
        """
        path, metadata = Path(folder) / "features.npy", read_json(Path(folder) / "features.json")
        again = f"run `helip encode` again for {folder}"
        if corpus_digest is not None and metadata["corpus_digest"] != corpus_digest:
            had = metadata["corpus_digest"]
            raise HelipError(f"{path}: these are features of another corpus ({had}, not {corpus_digest}); {again}")
        array = load_array(path, again)
        expected = (metadata["rows"], metadata["dim"])
        if array.shape != expected or array.dtype.name != metadata["dtype"]:
            raise HelipError(f"{path}: holds {array.dtype} {array.shape} and features.json says {metadata['dtype']} {expected}; {again}")
        for start in range(0, len(array), BLOCK):
            if not np.isfinite(array[start : start + BLOCK]).all():
                raise HelipError(f"{path}: NaN or infinity among rows {start} to {min(start + BLOCK, len(array)) - 1}; {again}")
        return cls(array, metadata, path)
