"""Features on their way: rows written in blocks to a folder named by what they are, so that a killed encoding goes on where it was."""

import json
import shutil
from pathlib import Path

import numpy as np

from helip.io import new_array, write_json, writing


class PartialFeatures:
    """rows_ND in `folder`, the first `done` of them written. The caller removes the folder when it has made use of them."""

    def __init__(self, folder: Path, shape: tuple[int, int], dtype: str):
        self.folder, self._progress_file = folder, folder / "done.json"
        self.done = self._resume(shape, dtype)
        rows = folder / "rows.npy"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.rows_ND = np.lib.format.open_memmap(rows, "r+") if self.done else new_array(rows, dtype, shape)

    def _resume(self, shape: tuple[int, int], dtype: str) -> int:
        """Rows of an earlier run that can be kept: anything unreadable counts as none."""
        try:
            rows = np.load(self.folder / "rows.npy", mmap_mode="r")
            done = json.loads(self._progress_file.read_text())["done"]
        except (OSError, ValueError, EOFError, KeyError):
            return 0
        return done if rows.shape == shape and rows.dtype.name == dtype else 0

    def write(self, rows_BD: np.ndarray) -> None:
        """Writes the next rows; they are on disk when it returns."""
        stop = self.done + len(rows_BD)
        self.rows_ND[self.done : stop] = rows_BD
        self.rows_ND.flush()
        write_json(self._progress_file, {"done": stop})
        self.done = stop

    def remove(self) -> None:
        """Deletes the folder and what lies in it; the rows cannot be used afterwards."""
        del self.rows_ND
        shutil.rmtree(self.folder, ignore_errors=True)
