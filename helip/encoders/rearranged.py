"""Features of a corpus with swapped captions or of a subset: rows of those of the corpus that it was made of. Nothing is encoded again."""

import shutil
from pathlib import Path

import numpy as np

from helip.encoders.features import Features
from helip.io import atomic_folder, file_digest, write_json


def rearrange(features: Features, rows: np.ndarray | None, corpus_digest: str, out: Path) -> int:
    """Writes out/{features.npy, features.json}, the rows of `features` that are asked for, and returns their number. None: all as they
    are. They are copied: of a hard link, Snakemake would touch the corpora that share it.
    """
    with atomic_folder(out) as folder:
        target = folder / "features.npy"
        if rows is None:
            shutil.copyfile(features.path, target)
        else:
            np.save(target, features.array[rows])
        size = len(features) if rows is None else len(rows)
        more = {"rows": size, "corpus_digest": corpus_digest, "rearranged_from": file_digest(features.path)}
        more["features_digest"] = file_digest(target)  # not that of the rows before
        write_json(folder / "features.json", features.metadata | more)
    return size
