"""Make a corpus folder out of what is declared: own shards indexed, a table packed, a world rendered."""

import collections
import functools
from pathlib import Path

from helip.config import ConfigModel, GeneratedCorpus, ShardCorpus, TableCorpus
from helip.config import Corpus as Declaration
from helip.data.corpus import Corpus
from helip.data.index import IndexWriter, Left
from helip.data.locations import resolve_path
from helip.data.parallel import each
from helip.data.shards import index_shard
from helip.errors import HelipError
from helip.io import atomic_folder, provenance, write_json


def build_corpus(declaration: Declaration, out: Path, workers: int = 1, inputs: dict[str, str] | None = None) -> Corpus:
    """Writes the corpus folder `out`, whole or not at all, and opens it. Raises HelipError where what is declared cannot be read."""
    left_out: Left = []
    with atomic_folder(out) as folder:
        match declaration:
            case ShardCorpus():
                shards = shard_files(declaration.path, declaration.obtain)
            case TableCorpus():
                from helip.data.tables import pack_table

                shards, left_out = pack_table(declaration, folder)
            case GeneratedCorpus():
                from helip.synthetic.corpus import render_corpus

                shards = render_corpus(declaration, folder, workers)
            case _:
                command = {"downloaded": "download", "union": "join"}[declaration.kind]
                raise HelipError(f"{out}: a corpus of kind '{declaration.kind}' is made by `helip {command}`")
        write_index(declaration, shards, left_out, folder, Path(out), workers, inputs)
    return Corpus.open(out)


def shard_files(declared: str, obtain: str = "") -> list[Path]:
    """Returns the .tar files of a folder or a glob, by name. Raises HelipError where there are none; `obtain` says how to get them."""
    path = resolve_path(declared, obtain)
    files = sorted(path.glob("*.tar")) if path.is_dir() else sorted(f for f in path.parent.glob(path.name) if f.is_file())
    if not files:
        raise HelipError(f"{path}: holds no .tar shards; {obtain or f'put the WebDataset shards there or correct the path {declared!r}'}")
    return files


def write_index(
    declaration: ConfigModel, shards: list[Path], left_out: Left, folder: Path, out: Path, workers: int, inputs: dict[str, str] | None
) -> None:
    """Writes the index of the shards into `folder`, which will be renamed to `out`. left_out: samples that never came into a shard."""
    with IndexWriter(folder) as index:
        index.leave_out(left_out)
        read = functools.partial(index_shard, captions=getattr(declaration, "captions", "txt"))
        for one in each(read, shards, f"indexing {out.name}", "shards", workers):
            index.add(one)
    check_quarantine(declaration, index.size, index.bad, out)
    published = getattr(declaration, "published_size", None)
    manifest = provenance(
        declaration, inputs, size=index.size, digest=index.digest, quarantined=dict(sorted(index.bad.items())),
        read=index.size + index.bad.total(), published_size=published, recovered_share=index.size / published if published else None,
        duplicates=index.duplicates, captions=index.captions, captions_bytes=index.text_size, shards=index.shards,
    )  # fmt: skip
    write_json(folder / "manifest.json", manifest)


def check_quarantine(declaration: ConfigModel, size: int, bad: collections.Counter, out: Path) -> None:
    """Raises HelipError, with the counts, where nothing is usable or a larger share is left out than declared."""
    counts = ", ".join(f"{n} {reason}" for reason, n in bad.most_common()) or "it is empty"
    if size == 0:
        raise HelipError(f"{out.name}: no usable sample ({counts}); check the shards: each sample needs key.jpg|png|webp and key.txt")
    share, allowed = bad.total() / (size + bad.total()), getattr(declaration, "max_quarantined", 0.0)
    if share > allowed:
        raise HelipError(
            f"{out.name}: {bad.total()} of {size + bad.total()} samples cannot be used ({counts}), a share of {share:.4f} over "
            f"max_quarantined {allowed:g}; mend the shards, or raise max_quarantined if that loss is acceptable"
        )
