"""Working arrays: in memory while they are small, else in an unnamed temporary file that the kernel may write back and drop."""

import tempfile

import numpy as np

from helip.errors import HelipError


def scratch(shape: tuple[int, ...], dtype: type, spare: int) -> np.ndarray:
    """Zeros. Beyond `spare` bytes the array lies in $TMPDIR and vanishes with the process."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= spare or size == 0:
        return np.zeros(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="helip-mining-") as f:
            return np.memmap(f, dtype, "w+", shape=shape)
    except OSError as error:
        raise HelipError(
            f"{tempfile.gettempdir()}: no room for {size >> 20} MiB of working arrays ({error}); set TMPDIR to a larger disk"
        ) from error
