"""Counts of near-duplicates for every evaluation set and corpus of a study."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from helip.contamination.fingerprints import FINGERPRINT, fingerprint, of_bytes
from helip.contamination.matching import DCT_BITS, GRADIENT_BITS, near_duplicates
from helip.data.images import BadSample, as_decoded
from helip.data.tars import samples
from helip.errors import HelipError
from helip.evaluation.sets import EvaluationSet
from helip.io import atomic_file, load_array, provenance, read_json, write_json
from helip.progress import progress

COLUMNS = ("set", "item", "corpus", "sample", "distance")
IMAGES = ("webp", "png", "jpg", "jpeg")  # what CLIP benchmark decodes; of several, it takes the first of these


def contamination(
    evaluation: Mapping[str, EvaluationSet], corpora: Mapping[str, tuple[Path, Path]], inputs: dict[str, str], out: Path, matches: Path
) -> list[dict]:
    """Writes counts to `out` (JSON) and every match to `matches` (CSV); returns the counts.

    They are, for each set and corpus, the test items, how many of them have a near-duplicate among the training images, their share, and
    how many training images those are.

    corpora: name -> (folder of its fingerprints, its manifest.json). inputs: digests for `out`. HelipError is raised for fingerprints of
    another version of a corpus.
    """
    sets = {name: of_set(one) for name, one in evaluation.items()}
    together = np.concatenate(list(sets.values()))  # so that a corpus is sorted once for all sets
    matches_of = {name: near_duplicates(together, _of_corpus(name, *files)) for name, files in corpora.items()}
    counts, first = [], 0
    with atomic_file(matches) as temporary, open(temporary, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for name, items in sets.items():
            for corpus, all_of_it in matches_of.items():
                of_it = slice(*np.searchsorted(all_of_it.item, [first, first + len(items)]))
                item, sample, distance = (column[of_it] for column in all_of_it)
                rows = zip((item - first).tolist(), sample.tolist(), distance.tolist(), strict=True)
                table.writerows((name, i, corpus, j, bits) for i, j, bits in rows)
                counts.append({"set": name, "corpus": corpus, "items": len(items), **_counted(item, sample, len(items))})
            first += len(items)
    limits = {"dct_bits": DCT_BITS, "gradient_bits": GRADIENT_BITS}
    write_json(out, provenance(limits, inputs, counts=counts))
    return counts


def _counted(item: np.ndarray, sample: np.ndarray, items: int) -> dict:
    hit = len(np.unique(item))
    return {"found": hit, "share": hit / items if items else 0.0, "samples": len(np.unique(sample))}


def _of_corpus(corpus: str, folder: Path, manifest: Path) -> np.ndarray:
    if read_json(folder / "fingerprints.json")["corpus_digest"] != read_json(manifest)["digest"]:
        raise HelipError(f"{folder}: is of another version of corpus '{corpus}'; make the fingerprints again")
    return load_array(folder / "fingerprints.npy", "make the fingerprints again")


def of_set(data: EvaluationSet) -> np.ndarray:
    """Returns the fingerprints of the test images, in the order that CLIP benchmark gives them. They are hashed as training would see
    them, and those that training would refuse as evaluation does.
    """
    hashes = list(progress(_hashes(data), None, f"fingerprints of {data.name}", "images"))
    return np.array(hashes, FINGERPRINT)


def _hashes(data: EvaluationSet) -> Iterator[tuple[int, int]]:
    opened = data.open(None, data.test_split)
    yield from map(_of_encoded, _encoded(data)) if data.is_wds else (_of_opened(opened[i][0]) for i in range(len(opened)))


def _encoded(data: EvaluationSet) -> Iterator[bytes]:
    """The image files of a set in wds layout: CLIP benchmark would hand them out without transparency and cut to 8 bits."""
    folder = data.root / data.test_split
    for shard in range(int((folder / "nshards.txt").read_text())):
        for _, files in samples(folder / f"{shard}.tar", frozenset(IMAGES)):
            images = {f.extension: f.data for f in files if f.data is not None}
            if kind := next((kind for kind in IMAGES if kind in images), None):
                yield images[kind]


def _of_encoded(data: bytes) -> tuple[int, int]:
    try:
        return of_bytes(data)
    except BadSample:
        return fingerprint(Image.open(io.BytesIO(data)))


def _of_opened(image: Image.Image) -> tuple[int, int]:
    try:
        return fingerprint(as_decoded(image))
    except BadSample:
        return fingerprint(image)
