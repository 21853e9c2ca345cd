"""The neighbour terms of a corpus on disk, a part of its rows each: a killed run loses one part, and machines can share them."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from helip.errors import HelipError
from helip.io import atomic_file
from helip.progress import progress
from helip.selection.agreement import NeighbourTerms, neighbour_terms
from helip.selection.neighbours import Neighbours

ROWS = 250_000  # at most, in a part: parts of one corpus cost more together than the corpus at once, whose cosines are symmetric


def parts_of(size: int) -> int:
    """Returns into how many parts a corpus of so many pairs is cut."""
    return max(1, -(-size // ROWS))


def compute(image_ND: np.ndarray, text_ND: np.ndarray, k: int, folder: Path, shard: tuple[int, int] = (0, 1), **search: Any) -> None:
    """Writes the parts of shard (i, n), every n-th from i on, that `folder` lacks. `search` as `nearest` has it."""
    (i, n), parts = shard, parts_of(len(image_ND))
    if not 0 <= i < n <= parts:
        raise HelipError(f"--shard {i}/{n}: the neighbours of this corpus are found in {parts} parts; give 0 <= i < n <= {parts}")
    missing = [part for part in range(i, parts, n) if not _file(folder, part).exists()]
    for part in progress(missing, len(missing), "agreement", "parts"):
        terms = neighbour_terms(image_ND, text_ND, k, shard=(part, parts), **search)
        with atomic_file(_file(folder, part)) as temporary, open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **_arrays(terms))


def read(size: int, folder: Path) -> list[NeighbourTerms]:
    """All parts, in order."""
    return [_terms(_file(folder, part)) for part in range(parts_of(size))]


def _arrays(terms: NeighbourTerms) -> dict[str, np.ndarray]:
    """NaN stands for a recall that is None."""
    arrays = {"text_among_images": terms.text_among_images, "image_among_texts": terms.image_among_texts}
    for name in ("images", "texts"):
        values = {field.name: getattr(getattr(terms, name), field.name) for field in fields(Neighbours)}
        arrays |= {f"{name}.{key}": np.asarray(np.nan if value is None else value) for key, value in values.items()}
    return arrays


def _terms(path: Path) -> NeighbourTerms:
    with np.load(path, allow_pickle=False) as arrays:

        def neighbours(name: str) -> Neighbours:
            recall = float(arrays[f"{name}.recall"])
            near = (arrays[f"{name}.ids"], arrays[f"{name}.cosines"], int(arrays[f"{name}.first"]))
            return Neighbours(*near, None if np.isnan(recall) else recall)

        return NeighbourTerms(arrays["text_among_images"], arrays["image_among_texts"], neighbours("images"), neighbours("texts"))


def _file(folder: Path, part: int) -> Path:
    return folder / f"part{part}.npz"
