"""Perceptual hashes: 16 bytes an image as training sees it, the same after resizing and recompression but for a few bits."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.fft import dctn

from helip.data.corpus import Corpus
from helip.data.images import decode_small
from helip.data.parallel import each
from helip.io import atomic_folder, new_array, provenance, write_json

# Two hashes that err in different ways: flat and gradient images have nearly equal `dct`, and few also equal `gradient`.
FINGERPRINT = np.dtype([("dct", "<u8"), ("gradient", "<u8")])
BLOCK = 256  # images a worker hashes at a time
SIDE = 64  # pixels a side that suffice of a JPEG


def fingerprint(image: Image.Image) -> tuple[int, int]:
    """Returns the hashes `dct` and `gradient` of an image.

    `dct` says which of the 8 x 8 lowest frequencies of the 32 x 32 grey image exceed their median (pHash). `gradient` says which pixels of
    the 9 x 8 grey image are darker than their right neighbour (dHash).
    """
    grey = image.convert("L")
    low = dctn(np.asarray(grey.resize((32, 32), Image.Resampling.BOX), np.float64), norm="ortho")[:8, :8].ravel()
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int16)
    return _packed(low > np.median(low[1:])), _packed((small[:, 1:] > small[:, :-1]).ravel())


def _packed(bits_64: np.ndarray) -> int:
    return int.from_bytes(np.packbits(bits_64).tobytes(), "big")


def of_bytes(data: bytes) -> tuple[int, int]:
    """Returns the hashes of an encoded image: upright, and its transparent pixels white, as training sees it. Raises BadSample.

    A JPEG is decoded at its smallest scale of at least SIDE pixels.
    """
    return fingerprint(decode_small(data, SIDE))


# ---------------------------------------------------------------- of a corpus


def fingerprint_corpus(corpus: Corpus, out: Path, workers: int = 1, inputs: dict[str, str] | None = None) -> dict:
    """Writes fingerprints.npy, [N] of FINGERPRINT in the order of ids, and fingerprints.json, and returns what the latter says.

    It counts the images whose fingerprint an earlier one has.
    """
    with atomic_folder(out) as folder:
        hashes = new_array(folder / "fingerprints.npy", FINGERPRINT, (len(corpus),))
        blocks = [(i, min(i + BLOCK, len(corpus))) for i in range(0, len(corpus), BLOCK)]
        what, unit = f"fingerprints of {corpus.folder.name}", f"x {BLOCK} images"
        for (first, end), values in zip(blocks, each(functools.partial(_block, corpus), blocks, what, unit, workers), strict=True):
            hashes[first:end] = values
        hashes.flush()
        summary = {"size": len(corpus), "corpus_digest": corpus.digest, "duplicates": len(hashes) - len(np.unique(hashes))}
        write_json(folder / "fingerprints.json", provenance({"hashes": FINGERPRINT.names}, inputs, **summary))
    return summary


def _block(corpus: Corpus, ids: tuple[int, int]) -> np.ndarray:
    return np.array([of_bytes(corpus.image_bytes(i)) for i in range(*ids)], FINGERPRINT)
