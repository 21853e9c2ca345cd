"""A corpus that is a share of another's pairs, drawn uniformly: what less data would have given is measured on it."""

from pathlib import Path

import numpy as np

from helip.config import SubsetCorpus
from helip.data.corpus import Corpus
from helip.data.index import HASHES
from helip.data.mismatched import source_of
from helip.data.parts import write_rows
from helip.errors import HelipError
from helip.io import atomic_folder, digest, load_array, provenance, write_json

IDS = "ids.npy"  # [N] int64: the pair of the whole corpus that each pair is


def subset(declaration: SubsetCorpus, whole: Corpus, out: Path, inputs: dict[str, str] | None = None) -> Corpus:
    """Writes the corpus folder `out` of a share of the pairs, in their order, with ids.npy of the whole corpus, and opens it. The shards
    stay where they are. HelipError is raised where the share is no pair.
    """
    ids_N = drawn(declaration, len(whole))
    if not len(ids_N):
        raise HelipError(f"{out}: a share of {declaration.share:g} of the {len(whole)} pairs of {whole.folder} is none; raise share")
    with atomic_folder(out) as folder:
        text_bytes = write_rows(whole, ids_N, folder)
        np.save(folder / IDS, ids_N)
        np.save(folder / HASHES, whole.hashes()[ids_N])
        (folder / "quarantine.csv").write_text("shard,key,reason,detail\n")
        shards = [entry | {"path": str(whole.shard_path(n).absolute())} for n, entry in enumerate(whole.manifest["shards"])]
        size, captions = len(ids_N), int(whole.caption_counts()[ids_N].sum())
        manifest = provenance(
            declaration, inputs, size=size, digest=digest([whole.digest, ids_N.tolist()]), quarantined={}, read=size, captions=captions,
            captions_bytes=text_bytes, published_size=None, recovered_share=whole.recovered_share, shards=shards,
        )  # fmt: skip
        write_json(folder / "manifest.json", manifest)
    return Corpus.open(out)


def drawn(declaration: SubsetCorpus, size: int) -> np.ndarray:
    """Returns the ids of the pairs that are kept, int64, increasing: the first of a permutation of all."""
    order = np.random.default_rng(declaration.seed).permutation(size)
    return np.sort(order[: round(declaration.share * size)])


def ids_of(folder: Path) -> np.ndarray | None:
    """Returns the pair of the whole corpus that each pair of a subset is, [N] int64; None for any other corpus."""
    return load_array(folder / IDS, "make the corpus again", mapped=False) if (folder / IDS).is_file() else None


def origin_of(folder: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns, of a subset or of a corpus with swapped captions, the pair of the corpus that it was made of whose image each pair has, and
    the one whose captions it has: int64 [N] each, None where they are the pair's own.
    """
    ids_N = ids_of(folder)
    return (None, source_of(folder)) if ids_N is None else (ids_N, ids_N)
