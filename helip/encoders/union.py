"""Features of a union of corpora: those of its members one behind the other, since a frozen encoder sees each pair by itself."""

from pathlib import Path

import numpy as np

from helip.config import Encoder as ConfigModel
from helip.encoders.features import BLOCK, Features
from helip.errors import HelipError
from helip.io import atomic_folder, file_digest, new_array, provenance, write_json


def join(declaration: ConfigModel, members: list[Features], corpus_digest: str, out: Path) -> int:
    """Writes out/{features.npy, features.json} of the union and returns its rows. Raises HelipError where the members had different
    encoders.
    """
    first = members[0]
    _refuse_others(members)
    rows = sum(len(member) for member in members)
    with atomic_folder(out) as folder:
        joined_ND = new_array(folder / "features.npy", first.array.dtype, (rows, first.dim))
        at = 0
        for member in members:
            for start in range(0, len(member), BLOCK):
                block_BD = member.array[start : start + BLOCK]
                joined_ND[at : at + len(block_BD)] = block_BD
                at += len(block_BD)
        joined_ND.flush()
        stands_for = file_digest(folder / "features.npy")
        same = {key: first.metadata[key] for key in ("dim", "dtype", "modality", "logits", "centred", "weights_digest", "preprocessing")}
        sources = {str(n): file_digest(member.path) for n, member in enumerate(members)}
        distinct = sum(member.metadata["distinct"] for member in members)
        more = {"rows": rows, "corpus_digest": corpus_digest, "distinct": distinct, "features_digest": stands_for}
        write_json(folder / "features.json", provenance(declaration, sources, **same, **more))
    return rows


def interleaved(views: int, sizes: list[int]) -> np.ndarray:
    """Returns the order that members' features of V views, each [V * N_m, D] and one behind the other, have in a union: all of its first
    views before its second ones, [V * sum N_m] int64.
    """
    starts = np.cumsum([0, *(views * size for size in sizes)])
    return np.concatenate(
        [np.arange(start + v * n, start + (v + 1) * n) for v in range(views) for start, n in zip(starts, sizes, strict=False)]
    )


def join_raw(members: list[Features], arrays: list[np.ndarray], order_N: np.ndarray | None, corpus_digest: str, out: Path) -> None:
    """Writes out/{features.npy, features.json}: the arrays of the members one behind the other, or in `order_N`. Raises HelipError where
    they had different encoders.
    """
    first = members[0]
    _refuse_others(members)
    with atomic_folder(out) as folder:
        joined_ND = np.concatenate(arrays)
        np.save(folder / "features.npy", joined_ND if order_N is None else joined_ND[order_N])
        sources = [file_digest(member.path) for member in members]
        more = {"rows": len(joined_ND), "corpus_digest": corpus_digest, "joined_from": sources}
        more |= {"distinct": sum(member.metadata["distinct"] for member in members)}
        more["features_digest"] = file_digest(folder / "features.npy")  # not that of the first member
        write_json(folder / "features.json", first.metadata | more)


def _refuse_others(members: list[Features]) -> None:
    first = members[0]
    for member in members[1:]:
        for key in ("weights_digest", "preprocessing", "dim", "dtype"):
            if member.metadata[key] != first.metadata[key]:
                raise HelipError(f"{member.path}: {key} is not that of {first.path}; encode both corpora with the same encoder again")
