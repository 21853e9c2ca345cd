"""The shuffles of s-CLIPLoss on disk, one file each: what a killed run had done is not done again, and machines can share them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helip.config import Selection
from helip.errors import HelipError
from helip.io import atomic_file
from helip.progress import progress
from helip.selection.scores import mean_of_shuffles, s_clip_loss_of_shuffle, shuffles_needed


def compute(spec: Selection, image_ND: np.ndarray, text_ND: np.ndarray, folder: Path, shard: tuple[int, int], device: str) -> None:
    """Writes the shuffles of shard (i, n), every n-th from i on, that `folder` lacks."""
    (i, n), temperature = shard, spec.temperature
    assert temperature is not None  # the job sets the model's own where none is declared
    needed = shuffles_needed(len(image_ND), spec.batch_size, spec.batches)
    if not 0 <= i < n <= needed:
        raise HelipError(f"--shard {i}/{n}: this selection is a mean over {needed} shuffles; give 0 <= i < n <= {needed}")
    missing = [k for k in range(i, needed, n) if not _file(folder, k).exists()]
    for k in progress(missing, len(missing), "s-CLIPLoss", "shuffles"):
        scores_N = s_clip_loss_of_shuffle(image_ND, text_ND, k, temperature, spec.batch_size, spec.seed, device)
        with atomic_file(_file(folder, k)) as temporary, open(temporary, "wb") as f:
            np.save(f, scores_N)


def mean(spec: Selection, size: int, folder: Path) -> np.ndarray:
    """Returns the mean float32 [N] of all shuffles, which are read one at a time."""

    def each() -> Iterator[np.ndarray]:
        for k in range(shuffles_needed(size, spec.batch_size, spec.batches)):
            yield np.load(_file(folder, k), allow_pickle=False)

    return mean_of_shuffles(each(), size)


def _file(folder: Path, k: int) -> Path:
    return folder / f"shuffle{k}.npy"
