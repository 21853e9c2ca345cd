"""Which pairs of a corpus are equal in caption or in image: they are no negatives of each other. Numpy only.

duplicates = Duplicates.of(corpus)
sampler = Sampler(len(corpus), 512, 0, pairs, duplicates=duplicates)  # its batches say which of their pairs are equal
"""

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from helip.errors import HelipError
from helip.io import atomic_file, load_array
from helip.progress import progress


class Samples(Protocol):
    """This protocol is what equality asks of a corpus; `helip.data.corpus.Corpus` has it."""

    digest: str

    def __len__(self) -> int: ...

    def image_bytes(self, i: int) -> bytes:
        """Returns the encoded image of pair i."""

    def captions(self, i: int) -> list[str]:
        """Returns all captions of pair i."""


@dataclass(frozen=True)
class Duplicates:
    """labels: int32 [N, 1 + C], of the image and of each of at most C captions; equal things have equal labels, and -1 has no equal."""

    labels: np.ndarray

    @classmethod
    def of(cls, corpus: Samples, show: bool = False) -> "Duplicates":
        """Returns the equal images (byte by byte) and equal captions of a corpus. Reads all of it once."""
        ids = progress(range(len(corpus)), len(corpus), "duplicates", "pairs") if show else range(len(corpus))
        images, captions = [], []
        for i in ids:
            images.append(hashlib.blake2b(corpus.image_bytes(i), digest_size=16).digest())
            captions.append(corpus.captions(i))
        return cls.from_values(images, captions)

    @classmethod
    def from_values(cls, images: Iterable[Hashable], captions: Iterable[list[str]]) -> "Duplicates":
        """Returns the labels of images, or of whatever is equal where they are, and of the captions of each."""
        seen: dict[Hashable, int] = {}
        rows = [[seen.setdefault(("i", image), len(seen))] for image in images]
        for row, texts in zip(rows, captions, strict=True):
            row.extend(seen.setdefault(("c", text), len(seen)) for text in dict.fromkeys(texts))
        labels = np.full((len(rows), max(map(len, rows), default=1)), -1, np.int32)
        for i, row in enumerate(rows):
            labels[i, : len(row)] = row
        counts = np.bincount(labels[labels >= 0], minlength=len(seen) + 1)
        return cls(np.where((labels >= 0) & (counts[labels] > 1), labels, -1).astype(np.int32))

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def groups(self) -> np.ndarray:
        """int64 [N]: pairs that are equal, or joined by a chain of equal ones, have the same number."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        pair, column = np.nonzero(self.labels >= 0)
        nodes = len(self) + self.labels[pair, column].astype(np.int64)  # a label is a node between the pairs that have it
        size = int(max(nodes.max(initial=0) + 1, len(self)))
        joined = coo_array((np.ones(len(pair), np.int8), (pair, nodes)), shape=(size, size))
        return np.asarray(connected_components(joined, directed=False)[1][: len(self)], np.int64)

    def equal_to(self, mask_N: np.ndarray) -> np.ndarray:
        """Returns which pairs are in a mask, bool [N], or equal to one that is, bool [N]. A chain of equals does not count here."""
        wanted = np.unique(self.labels[mask_N])
        equal_N: np.ndarray = mask_N | np.any(np.isin(self.labels, wanted[wanted >= 0]), axis=1)
        return equal_N

    def positions(self, ids_B: np.ndarray, captions_BP: np.ndarray) -> np.ndarray:
        """Returns [E, 2] int64: rows r and columns c != r of a batch's similarities whose pairs are equal, in order.

        Columns are those of the batch and then the captions beside it, those of `captions_BP` that are not -1; these are equal to a row by
        a caption, and also by their image, whose caption is true of that row's.
        """
        columns = np.concatenate([ids_B, captions_BP[captions_BP >= 0]])
        rows_with, columns_with = (np.flatnonzero((self.labels[ids] >= 0).any(1)) for ids in (ids_B, columns))
        a, b = self.labels[ids_B[rows_with]], self.labels[columns[columns_with]]
        same = np.zeros((len(a), len(b)), bool)
        for one in a.T:
            for other in b.T:
                same |= (one[:, None] == other) & (one[:, None] >= 0)
        r, c = np.nonzero(same)
        r, c = rows_with[r], columns_with[c]
        return np.stack([r, c], 1)[r != c].astype(np.int64)

    def save(self, file: Path) -> None:
        """Writes the labels to a .npy file, which appears whole."""
        with atomic_file(file) as temporary, open(temporary, "wb") as opened:
            np.save(opened, self.labels)

    @classmethod
    def open(cls, file: Path, size: int) -> "Duplicates":
        """Opens saved labels. HelipError where they are broken or of another corpus."""
        labels = load_array(file, "delete it, and the next training finds the duplicates again", mapped=False)
        if labels.ndim != 2 or len(labels) != size or labels.dtype != np.int32:
            raise HelipError(f"{file}: holds {labels.dtype} {list(labels.shape)}, and the corpus has {size} pairs; delete it")
        return cls(labels)


def cached(corpus: Any, folder: Path) -> Duplicates:
    """Returns the duplicates of a corpus (Samples), found once: they lie in `folder` under the corpus' digest."""
    file = folder / f".duplicates-{corpus.digest[:16]}.npy"
    if not file.exists():
        Duplicates.of(corpus, show=True).save(file)
    return Duplicates.open(file, len(corpus))
