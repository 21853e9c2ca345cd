"""Which samples have equal images or equal captions: told by 8 bytes of a hash, so two unlike ones in 12 million differ but for a chance
of 4 in a million."""

import hashlib

import numpy as np


def hash64(data: bytes) -> int:
    """Returns a number below 2**64 that stands for these bytes (BLAKE2b)."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def first_equal(hashes_N: np.ndarray) -> np.ndarray:
    """Returns for each row the id of the first row with the same hash, int64 [N]: its own id where it is the first."""
    _, first, group_N = np.unique(hashes_N, return_index=True, return_inverse=True)
    ids_N: np.ndarray = first.astype(np.int64)[group_N.ravel()]
    return ids_N


def repeats(hashes_N: np.ndarray) -> int:
    """Returns how many rows have the hash of an earlier one."""
    return len(hashes_N) - len(np.unique(hashes_N))


def equal(hashes: np.ndarray) -> dict[str, int]:
    """Returns how many samples have the image, and the captions, of an earlier one, for a manifest. hashes: [N, 2] of both."""
    return {"equal_images": repeats(hashes[:, 0]), "equal_captions": repeats(hashes[:, 1])}
