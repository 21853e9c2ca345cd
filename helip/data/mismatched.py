"""A corpus in which some images have the captions of others, on purpose: what finds mismatches, and what they cost, is measured on it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from helip.config import MismatchedCorpus
from helip.data.corpus import Corpus
from helip.data.index import HASHES
from helip.data.shards import BETWEEN
from helip.data.wording import tfidf
from helip.errors import HelipError
from helip.io import atomic_folder, digest, provenance, write_json

SOURCE = "source.npy"  # [N] int64: the pair whose captions each image has


def mismatch(declaration: MismatchedCorpus, of: Corpus, out: Path, inputs: dict[str, str] | None = None) -> Corpus:
    """Writes the corpus folder `out`: the images of another corpus where they lie, and its captions, some of them swapped.

    HelipError is raised for a corpus of fewer than two pairs.
    """
    if len(of) < 2:
        raise HelipError(f"{out}: mismatches need two pairs at least, and {of.folder} has {len(of)}")
    source_N = swapped(declaration, of)
    with atomic_folder(out) as folder:
        rows = np.load(of.folder / "index.npy")
        text = bytearray()
        for i, source in enumerate(source_N.tolist()):
            captions, name = BETWEEN.join(of.captions(source)).encode(), of.key(i).encode("utf-8", "surrogateescape")
            rows[i]["caption_offset"], rows[i]["caption_size"], rows[i]["key_size"] = len(text), len(captions), len(name)
            text += captions + name
        np.save(folder / "index.npy", rows)
        np.save(folder / SOURCE, source_N)
        images_N, captions_N = of.hashes().T
        np.save(folder / HASHES, np.stack([images_N, captions_N[source_N]], axis=1))
        (folder / "captions.bin").write_bytes(text)
        with open(folder / "quarantine.csv", "w", newline="") as file:
            csv.writer(file).writerow(("shard", "key", "reason", "detail"))
        write_json(folder / "manifest.json", _manifest(declaration, of, source_N, len(text), inputs))
    return Corpus.open(out)


def _manifest(declaration: MismatchedCorpus, of: Corpus, source_N: np.ndarray, text: int, inputs: dict[str, str] | None) -> dict[str, Any]:
    shards = [entry | {"path": str(of.shard_path(n).absolute())} for n, entry in enumerate(of.manifest["shards"])]
    mismatched = int((source_N != np.arange(len(of))).sum())
    return provenance(
        declaration, inputs, size=len(of), digest=digest([of.digest, source_N.tolist()]), quarantined={}, read=len(of), published_size=None,
        recovered_share=of.recovered_share, duplicates=of.manifest.get("duplicates"), captions=of.manifest.get("captions", len(of)),
        captions_bytes=text, shards=shards, mismatched=mismatched,
    )  # fmt: skip


def swapped(declaration: MismatchedCorpus, of: Corpus) -> np.ndarray:
    """Returns the pair whose captions each image gets, [N] int64: a permutation, since captions that two pairs had would be found by that
    alone.
    """
    rng, size = np.random.default_rng([declaration.seed, round(1000 * declaration.near)]), len(of)
    source_N, wanted = np.arange(size), round(declaration.share * size)
    near = round(declaration.near * wanted)
    if near:
        _swap_near(source_N, near, declaration.nearest, _words(of), rng)
    free = np.flatnonzero(source_N == np.arange(size))
    others = wanted - int((source_N != np.arange(size)).sum())
    if others > 1:
        drawn = rng.permutation(free)[:others]
        source_N[drawn] = np.roll(drawn, 1)
    return source_N


def _swap_near(source_N: np.ndarray, wanted: int, nearest: int, words_NW: Any, rng: np.random.Generator) -> None:
    """Swaps pairs with one of the nearest that still has its own captions, in place, until `wanted` have others'."""
    swaps = 0
    for i in rng.permutation(len(source_N)).tolist():
        if swaps >= wanted:
            return
        if source_N[i] != i:
            continue
        cosines = (words_NW @ words_NW[i].T).toarray()[:, 0]
        cosines[i] = -1
        near = np.argsort(-cosines, kind="stable")[:nearest]
        free = near[(source_N[near] == near) & (cosines[near] > 0)]
        if len(free):
            j = int(rng.choice(free))
            source_N[[i, j]] = j, i
            swaps += 2


def _words(of: Corpus) -> Any:
    """Unit TF-IDF rows of the words of all captions of each image, sparse [N, W]."""
    return tfidf([" ".join(of.captions(i)) for i in range(len(of))], f"{of.folder} (set near: 0 to swap without words)")


def source_of(folder: Path) -> np.ndarray | None:
    """Returns the pair whose captions each image of a corpus has, [N] int64; None for a corpus without mismatches made on purpose."""
    return np.load(folder / SOURCE) if (folder / SOURCE).is_file() else None
