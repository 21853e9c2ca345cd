"""Make a corpus folder out of what is declared: own shards indexed, a table packed, a world rendered."""

import functools
import shutil
from pathlib import Path
from typing import Any

from helip.config import ConfigModel, FolderCorpus, GeneratedCorpus, ShardCorpus, TableCorpus
from helip.config import Corpus as Declaration
from helip.data.corpus import Corpus
from helip.data.groups import equal
from helip.data.index import CUT, IndexWriter, Left
from helip.data.locations import BETWEEN, resolve_path, resolve_paths, within
from helip.data.parallel import each
from helip.data.shards import PACKED, index_shard
from helip.errors import HelipError
from helip.io import atomic_file, atomic_folder, provenance, write_json


def build_corpus(declaration: Declaration, out: Path, workers: int = 1, inputs: dict[str, str] | None = None) -> Corpus:
    """Writes the corpus folder `out`, whole or not at all, and opens it. Raises HelipError where what is declared cannot be read."""
    left_out: Left = []
    reading: dict[str, Any] = {}
    captions = PACKED  # of our own shards
    with atomic_folder(out) as folder:
        match declaration:
            case ShardCorpus():
                shards, captions = shard_files(declaration.path, declaration.obtain), declaration.captions
            case TableCorpus():
                from helip.data.tables import pack_table

                shards, left_out, reading = pack_table(declaration, folder)
            case FolderCorpus():
                from helip.data.folders import pack_folder

                shards, left_out, reading = pack_folder(declaration, folder)
            case GeneratedCorpus():
                from helip.synthetic.corpus import render_corpus

                shards = render_corpus(declaration, folder, workers)
            case _:
                command = {"downloaded": "download", "union": "join"}[declaration.kind]
                raise HelipError(f"{out}: a corpus of kind '{declaration.kind}' is made by `helip {command}`")
        write_index(declaration, shards, left_out, folder, Path(out), workers, inputs, captions, reading)
    return Corpus.open(out)


def shard_files(declared: str, obtain: str = "") -> list[Path]:
    """Returns the .tar files that a declared path names: those of a folder by name, in sub-folders too where it has none itself.

    Raises HelipError where there are none; `obtain` says how to get them.
    """
    files: list[Path] = []
    for path in resolve_paths(declared, obtain):
        files += (within(path, "*.tar") or within(path, "**/*.tar")) if path.is_dir() else [path]
    if not files:
        remedy = obtain or f"put the WebDataset shards there or correct the path '{declared}'"
        raise HelipError(f"{resolve_path(declared.split(BETWEEN)[0])}: holds no .tar shards; {remedy}")
    return files


def write_index(
    declaration: ConfigModel, shards: list[Path], left_out: Left, folder: Path, out: Path, workers: int,
    inputs: dict[str, str] | None, captions: str = "txt", reading: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Writes the index of the shards into `folder`, which will be renamed to `out`.

    left_out: samples that never came into a shard. captions: where they are, as ShardCorpus.captions says. reading: how the
    user's files were read, for the manifest.
    """
    with IndexWriter(folder) as index:
        index.leave_out(left_out)
        read = functools.partial(index_shard, captions=captions)
        for one in each(read, shards, f"indexing {out.name}", "shards", workers):
            index.add(one)
    check_quarantine(declaration, index, folder, out, reading or {})
    published = getattr(declaration, "published_size", None)
    manifest = provenance(
        declaration, inputs, size=index.size, digest=index.digest, quarantined=dict(sorted(index.bad.items())),
        read=index.size + index.bad.total(), published_size=published, recovered_share=index.size / published if published else None,
        duplicates=index.duplicates, **equal(index.hashes), captions=index.captions, captions_bytes=index.text_size, shards=index.shards,
        **({"reading": reading} if reading else {}),
    )  # fmt: skip
    write_json(folder / "manifest.json", manifest)
    left_list(out).unlink(missing_ok=True)


def left_list(out: Path) -> Path:
    """Returns where the list of what was left out lies, beside the corpus folder `out`, when too much of it was."""
    return out.with_name(f"{out.name}.quarantine.csv")


def check_quarantine(declaration: ConfigModel, index: IndexWriter, folder: Path, out: Path, reading: dict[str, Any]) -> None:
    """Raises HelipError, with counts and examples, where nothing is usable or a larger share is left out than declared.

    The whole list of what was left out then stays on disk, beside `out`.
    """
    bad, size = index.bad, index.size
    lost, allowed = bad.total() - len(index.cut), getattr(declaration, "max_quarantined", 0.0)
    counts = ", ".join(f"{n} {reason}" for reason, n in bad.most_common()) or "it is empty"
    cut_share, share = len(index.cut) / max(1, len(index.shards)), lost / max(1, size + lost)
    if size and share <= allowed and cut_share <= allowed:
        return
    first = "; ".join(f"{reason}: {', '.join(examples)}" for reason, examples in index.examples.items() if reason != CUT)
    shown = f". The first are: {first}" if first else ""
    if "image_root_tried" in reading:
        shown += f". Relative image paths were looked for in {', '.join(reading['image_root_tried'])}: name the right image_root"
    if isinstance(declaration, TableCorpus) and any("not UTF-8" in reason for reason in bad):
        shown += ". Where the table is no UTF-8, name the table's encoding (--encoding), for example latin-1"
    uncaptioned = 2 * bad["no caption"] > size + lost
    if isinstance(declaration, ShardCorpus) and uncaptioned and not declaration.captions.startswith("json."):
        shown += ". Where captions are in key.json, say captions: json.NAME, or json.OUTER.NAME (--captions)"
    if bad:
        with atomic_file(left_list(out)) as temporary:
            shutil.copyfile(folder / "quarantine.csv", temporary)
        shown += f". All are listed in {left_list(out)}"
    if cut_share > allowed:
        of = f"{len(index.cut)} of {len(index.shards)} shards are cut, a share of {cut_share:.4f} over max_quarantined {allowed:g}"
        raise HelipError(f"{out.name}: {of}; what each lost is not known. The first: {index.cut[0]}{shown}")
    if size == 0:
        raise HelipError(f"{out.name}: no usable sample ({counts}); check the data: each sample needs an image and a caption{shown}")
    raise HelipError(
        f"{out.name}: {lost} of {size + lost} samples cannot be used ({counts}), a share of {share:.4f} over max_quarantined {allowed:g}; "
        f"mend the data, or raise max_quarantined if that loss is acceptable{shown}"
    )
