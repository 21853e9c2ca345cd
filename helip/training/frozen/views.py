"""What frozen trunks encode of a corpus: V views of every image, and all captions."""

import numpy as np
from PIL import Image, ImageOps

from helip.hashing import mixed, uniforms
from helip.io import digest
from helip.training.augmentation import PER_VIEW, crop_box
from helip.training.batches import Corpus


class Views:
    """This is a corpus of V views of each image of another: image v * N + i is view v of image i, and has no caption.

    View 0 is the image itself; view 2, 4, ... is a random crop of it that is a pure function of (seed, view, i); each odd view is the
    mirror image of the view before it. With `mirrored` false there are none of these, and view 1, 2, ... is a crop. The trunk's own
    preprocessing follows.
    """

    def __init__(self, corpus: Corpus, views: int, crop_scale: tuple[float, float] | None, seed: int = 0, mirrored: bool = True):
        self._corpus, self._views, self._crop_scale, self._seed, self._each = corpus, views, crop_scale, seed, 2 if mirrored else 1
        self.digest = digest([corpus.digest, views, crop_scale, seed, *([] if mirrored else ["not mirrored"])])

    def __len__(self) -> int:
        return self._views * len(self._corpus)

    def image(self, row: int) -> Image.Image:
        """Returns the RGB image of a row."""
        view, i = divmod(int(row), len(self._corpus))
        image = self._corpus.image(i)
        if view >= self._each:
            assert self._crop_scale is not None  # as FrozenModel holds
            key = mixed(mixed(mixed(np.array([self._seed], np.int64)) + np.int64(view // self._each)) + np.int64(i))
            left, upper, right, lower = (round(x) for x in crop_box(*image.size, uniforms(key, PER_VIEW)[0], self._crop_scale))
            image = image.crop((left, upper, max(right, left + 1), max(lower, upper + 1)))
        return ImageOps.mirror(image) if view % self._each else image

    def caption(self, row: int) -> str:
        """Returns nothing but an empty text: captions are encoded from the corpus itself."""
        return ""


class Captions:
    """This is a corpus of all captions of another, those of its first image first. No image of it is looked at."""

    def __init__(self, corpus: Corpus, counts_N: np.ndarray):
        self._corpus, self._first = corpus, first_captions(counts_N)
        self._size = int(counts_N.sum())
        self.digest = digest([corpus.digest, "all captions"])

    def __len__(self) -> int:
        return self._size

    def image(self, row: int) -> Image.Image:
        """Returns the image that a row's caption is of."""
        return self._corpus.image(self._image_of(row))

    def caption(self, row: int) -> str:
        """Returns the caption of a row."""
        i = self._image_of(row)
        return self._corpus.captions(i)[row - int(self._first[i])]

    def _image_of(self, row: int) -> int:
        return int(np.searchsorted(self._first, row, "right")) - 1


def first_captions(counts_N: np.ndarray) -> np.ndarray:
    """Returns the row of each image's first caption among all captions, [N] int64."""
    return np.cumsum(counts_N) - counts_N
