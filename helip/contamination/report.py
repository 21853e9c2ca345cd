"""Counts of near-duplicates for every evaluation set and corpus of a study."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from helip.artefact import provenance, read_json, whole_file, write_json
from helip.contamination.fingerprints import FINGERPRINT, fingerprint
from helip.contamination.matching import DCT_BITS, GRADIENT_BITS, near_duplicates
from helip.data.progress import progress
from helip.errors import HelipError
from helip.evaluation.sets import EvaluationSet, of_declaration
from helip.study import BoundStudy

COLUMNS = ("set", "item", "corpus", "sample", "distance")


def contamination(study: BoundStudy, out: Path, matches: Path) -> list[dict]:
    """Write counts to `out` (JSON) and every match to `matches` (CSV); return the counts: for each set and corpus the test items, how many
    of them have a near-duplicate among the training images, their share, and how many training images those are."""
    counts = []
    with whole_file(matches) as temporary, open(temporary, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for name, declaration in study.declaration.evaluation.items():
            items = of_set(of_declaration(name, declaration, study.evaluation_dir(name)))
            for corpus in study.own_corpora:
                found = near_duplicates(items, _of_corpus(study, corpus))
                table.writerows((name, *row[:1], corpus, *row[1:]) for row in zip(*(column.tolist() for column in found), strict=True))
                hit = len(np.unique(found.item))
                share = hit / len(items) if len(items) else 0.0
                counts.append(
                    {
                        "set": name,
                        "corpus": corpus,
                        "items": len(items),
                        "found": hit,
                        "share": share,
                        "samples": len(np.unique(found.sample)),
                    }
                )
    limits = {"dct_bits": DCT_BITS, "gradient_bits": GRADIENT_BITS}
    write_json(out, provenance(limits, {"contamination_digest": study.contamination_digest()}, counts=counts))
    return counts


def _of_corpus(study: BoundStudy, corpus: str) -> np.ndarray:
    folder = study.fingerprint_dir(corpus)
    said, manifest = read_json(folder / "fingerprints.json"), read_json(study.manifest(corpus))
    if said["corpus_digest"] != manifest["digest"]:
        raise HelipError(f"{folder}: is of another version of corpus '{corpus}'; make the fingerprints again")
    return np.load(folder / "fingerprints.npy", mmap_mode="r", allow_pickle=False)


def of_set(data: EvaluationSet) -> np.ndarray:
    """Fingerprints of the test images, in the order that CLIP benchmark gives them."""
    found = [fingerprint(image) for image in progress(_images(data), None, f"fingerprints of {data.name}", "images")]
    return np.array(found, FINGERPRINT)


def _images(data: EvaluationSet) -> Iterator[Image.Image]:
    opened = data.open(None, data.test_split)
    for item in opened if data.is_wds else (opened[i] for i in range(len(opened))):
        yield item[0]
