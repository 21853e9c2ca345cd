"""Features of a union of corpora: those of its members one behind the other, since a frozen encoder sees each pair by itself."""

from pathlib import Path

from helip.config import Encoder as ConfigModel
from helip.encoders.features import BLOCK, Features
from helip.errors import HelipError
from helip.io import atomic_folder, file_digest, new_array, provenance, write_json


def join(declaration: ConfigModel, members: list[Features], corpus_digest: str, out: Path) -> int:
    """Writes out/{features.npy, features.json} of the union and returns its rows. Raises HelipError where the members had different
    encoders.
    """
    first = members[0]
    for member in members[1:]:
        for key in ("weights_digest", "preprocessing", "dim", "dtype"):
            if member.metadata[key] != first.metadata[key]:
                raise HelipError(f"{member.path}: {key} is not that of {first.path}; encode both corpora with the same encoder again")
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
        same = {key: first.metadata[key] for key in ("dim", "dtype", "modality", "logits", "centred", "weights_digest", "preprocessing")}
        sources = {str(n): file_digest(member.path) for n, member in enumerate(members)}
        distinct = sum(member.metadata["distinct"] for member in members)
        more = {"rows": rows, "corpus_digest": corpus_digest, "distinct": distinct}
        write_json(folder / "features.json", provenance(declaration, sources, **same, **more))
    return rows
