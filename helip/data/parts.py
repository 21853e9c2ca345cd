"""A corpus cut into what is trained on and what is held out: an image is in one part, equal captions are, and order changes nothing."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from helip.config import TrainPartCorpus
from helip.data.corpus import Corpus
from helip.data.groups import hash64
from helip.data.index import HASHES
from helip.data.shards import BETWEEN, ROW
from helip.errors import HelipError
from helip.io import atomic_folder, digest, load_array, new_array, provenance, write_json

TRAIN, PARTS = 0, {"validation": 1, "test": 2}
FEWEST = 20  # images of a part, below which a recall says nothing


def train_part(declaration: TrainPartCorpus, whole: Corpus, out: Path, inputs: dict[str, str] | None = None) -> Corpus:
    """Writes the corpus folder `out` of the pairs that are trained on, with parts.npy and images.npy of the whole corpus, and opens it.

    parts.npy [N] says 0 for a pair that is trained on, 1 for validation and 2 for test; images.npy [N] numbers the distinct images. The
    shards stay where they are. Raises HelipError for a corpus that is too small to hold anything out.
    """
    image_N, told_E, caption_E, key_I = _identities(whole)
    part_N = cut(image_N, image_N[told_E], caption_E, key_I, declaration, whole.folder)
    with atomic_folder(out) as folder:
        ids = np.flatnonzero(part_N == TRAIN)
        text_bytes = write_rows(whole, ids, folder)
        np.save(folder / "parts.npy", part_N)
        np.save(folder / "images.npy", image_N)
        np.save(folder / HASHES, whole.hashes()[ids])
        (folder / "quarantine.csv").write_text("shard,key,reason,detail\n")
        counts = {name: len(np.unique(image_N[part_N == number])) for name, number in PARTS.items()}
        shards = [{**entry, "path": str(whole.shard_path(i).absolute())} for i, entry in enumerate(whole.manifest["shards"])]
        size, stands_for = len(ids), digest([whole.digest, hashlib.sha256(part_N.tobytes()).hexdigest()])
        more = {name: whole.manifest.get(name) for name in ("published_size", "recovered_share", "duplicates", "reading")}
        manifest = provenance(
            declaration, {**(inputs or {}), "whole": whole.digest}, size=size, digest=stands_for, quarantined={}, read=size,
            held_out=counts, captions=int(whole.caption_counts()[ids].sum()), captions_bytes=text_bytes, shards=shards, **more,
        )  # fmt: skip
        write_json(folder / "manifest.json", manifest)
    return Corpus.open(out)


def held_out(part: Corpus, name: Literal["validation", "test"]) -> Iterator[list[int]]:
    """Yields, for each image that `train_part` held out, the ids in the whole corpus of the pairs that show it."""
    part_N, image_N = (load_array(part.folder / file, "make the corpus again") for file in ("parts.npy", "images.npy"))
    ids = np.flatnonzero(part_N == PARTS[name])
    ids = ids[np.argsort(image_N[ids], kind="stable")]
    yield from (group.tolist() for group in np.split(ids, np.flatnonzero(np.diff(image_N[ids])) + 1))


def cut(
    image_N: np.ndarray, image_E: np.ndarray, caption_E: np.ndarray, key_I: list[bytes], declaration: TrainPartCorpus, where: Any = ""
) -> np.ndarray:
    """Returns [N] of uint8: 0 for training, 1 for validation, 2 for test.

    image_N: the number of each pair's image. image_E, caption_E: every caption that is told of an image, both by number; equal images
    and equal captions have equal numbers. key_I: what stands for the content of each image,
    which alone decides the order in which images are drawn. An image whose caption another image has too is never held out.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    images, captions = len(key_I), int(caption_E.max()) + 1
    size = images + captions
    _, component = connected_components(coo_array((np.ones(len(image_E), np.int8), (image_E, images + caption_E)), shape=(size, size)))
    alone_I = np.bincount(component[:images], minlength=component.max() + 1)[component[:images]] == 1
    drawn = sorted(np.flatnonzero(alone_I).tolist(), key=lambda i: hashlib.sha256(f"{declaration.seed} ".encode() + key_I[i]).digest())
    count = min(declaration.most, int(declaration.held_out * images), len(drawn) // 2)
    if count < FEWEST or 2 * count >= images:
        raise HelipError(
            f"{where}: {images} distinct images, {len(drawn)} of them with a caption of their own, are too few to hold out "
            f"{declaration.held_out:g} of them twice: a validation and a test set need at least {FEWEST} images each; give more pairs, "
            "or raise held_out"
        )
    part_I = np.zeros(images, np.uint8)
    part_I[drawn[:count]], part_I[drawn[count : 2 * count]] = PARTS["validation"], PARTS["test"]
    return part_I[image_N]


def _identities(whole: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[bytes]]:
    """(number of each pair's image, pair of each caption, number of each caption, what stands for each image)."""
    told_E = np.repeat(np.arange(len(whole)), whole.caption_counts())
    words = (" ".join(caption.casefold().split()) for i in range(len(whole)) for caption in whole.captions(i))
    captions_E = np.fromiter((hash64(text.encode()) for text in words), np.uint64, len(told_E))
    key_I, image_N = np.unique(whole.hashes()[:, 0], return_inverse=True)
    return image_N.ravel(), told_E, np.unique(captions_E, return_inverse=True)[1].ravel(), [int(key).to_bytes(8, "big") for key in key_I]


def write_rows(whole: Corpus, ids: np.ndarray, folder: Path) -> int:
    """Writes index.npy and captions.bin of these pairs; returns the bytes of the captions."""
    index = np.load(whole.folder / "index.npy", mmap_mode="r")
    rows = new_array(folder / "index.npy", ROW, (len(ids),))
    written = 0
    with open(folder / "captions.bin", "wb") as text:
        for n, i in enumerate(ids.tolist()):
            row = index[i].copy()
            row["caption_offset"] = written
            rows[n] = row
            written += text.write(BETWEEN.join(whole.captions(i)).encode() + whole.key(i).encode("utf-8", "surrogateescape"))
    rows.flush()
    return written
