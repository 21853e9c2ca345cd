"""Make a corpus folder out of what is declared: own shards indexed, a table packed, a world rendered."""

import collections
import csv
import functools
import hashlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from helip.artefact import provenance, whole_folder, write_json
from helip.config import Declaration, GeneratedCorpus, ShardCorpus, TableCorpus
from helip.data.corpus import Corpus
from helip.data.locations import located
from helip.data.progress import progress
from helip.data.shards import ROW, ShardIndex, index_shard
from helip.errors import HelipError

T = TypeVar("T")
Left = list[tuple[str, str, str]]  # key, reason, detail


def build_corpus(declaration: Declaration, out: Path, workers: int = 1, inputs: dict[str, str] | None = None) -> Corpus:
    """Write the corpus folder `out`, whole or not at all, and open it."""
    left_out = []
    with whole_folder(out) as folder:
        match declaration:
            case ShardCorpus():
                shards = shard_files(declaration.path, declaration.obtain)
            case TableCorpus():
                from helip.data.tables import pack_table

                shards, left_out = pack_table(declaration, folder)
            case GeneratedCorpus():
                from helip.data.world.corpus import render_corpus

                shards = render_corpus(declaration, folder, functools.partial(each, workers=workers))
            case _:
                raise HelipError(f"{out}: a corpus of kind '{declaration.kind}' is not built here")
        write_index(declaration, shards, left_out, folder, Path(out), workers, inputs)
    return Corpus.open(out)


def shard_files(declared: str, obtain: str = "") -> list[Path]:
    """The .tar files of a folder or a glob, by name."""
    path = located(declared, obtain)
    files = sorted(path.glob("*.tar")) if path.is_dir() else sorted(f for f in path.parent.glob(path.name) if f.is_file())
    if not files:
        raise HelipError(f"{path}: holds no .tar shards; {obtain or f'put the WebDataset shards there or correct the path {declared!r}'}")
    return files


def each(work: Callable[..., T], jobs: list[Any], what: str, unit: str, workers: int = 1) -> Iterator[T]:
    """work(job) for each job, in order, on that many processes."""
    if workers <= 1 or len(jobs) <= 1:
        yield from progress(map(work, jobs), len(jobs), what, unit)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
            yield from progress(pool.map(work, jobs), len(jobs), what, unit)
    except BrokenProcessPool:
        raise HelipError(f"{what}: one of {workers} worker processes was killed; ask for more memory or for fewer workers") from None


def write_index(
    declaration: Declaration, shards: list[Path], left_out: Left, folder: Path, out: Path, workers: int, inputs: dict[str, str] | None
) -> None:
    """Index the shards into `folder` (which will be renamed to `out`), streaming: one shard's rows in memory at a time.
    `left_out` are samples that never came into a shard."""
    total, bad = hashlib.sha256(), collections.Counter(reason for _, reason, _ in left_out)
    listed, size, text_size = [], 0, 0
    with open(folder / "index.npy", "wb") as rows, open(folder / "captions.bin", "wb") as text, \
         open(folder / "quarantine.csv", "w", newline="", errors="backslashreplace") as quarantine:  # fmt: skip
        _npy_header(rows, 0)
        table = csv.writer(quarantine)
        table.writerow(("shard", "key", "reason", "detail"))
        table.writerows(("", *sample) for sample in left_out)
        for number, one in enumerate(each(index_shard, shards, f"indexing {out.name}", "shards", workers)):
            one.rows["shard"] = number
            one.rows["caption_offset"] += np.uint64(text_size)
            rows.write(one.rows.tobytes())
            text.write(one.text)
            total.update(one.digests)
            table.writerows((one.path.name, *sample) for sample in one.quarantined)
            bad.update(reason for _, reason, _ in one.quarantined)
            listed.append(_entry(one, folder))
            size, text_size = size + len(one.rows), text_size + len(one.text)
        _npy_header(rows, size)
    check_quarantine(declaration, size, bad, out)
    published = getattr(declaration, "published_size", None)
    manifest = provenance(
        declaration, inputs, size=size, digest=total.hexdigest(), quarantined=dict(sorted(bad.items())), read=size + bad.total(),
        published_size=published, recovered_share=size / published if published else None, captions_bytes=text_size, shards=listed,
    )  # fmt: skip
    write_json(folder / "manifest.json", manifest)


def _entry(one: ShardIndex, folder: Path) -> dict[str, Any]:
    own = one.path.is_relative_to(folder)
    return {"path": str(one.path.relative_to(folder) if own else one.path), "size": one.size, "samples": len(one.rows)}


def _npy_header(file, size: int) -> None:
    """NumPy pads the header so that the first axis can grow: it is written again when the size is known."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": np.lib.format.dtype_to_descr(ROW), "fortran_order": False, "shape": (size,)})


def check_quarantine(declaration: Declaration, size: int, bad: collections.Counter, out: Path) -> None:
    """Nothing usable, or a larger share left out than declared: the corpus fails with its counts."""
    counts = ", ".join(f"{n} {reason}" for reason, n in bad.most_common()) or "it is empty"
    if size == 0:
        raise HelipError(f"{out.name}: no usable sample ({counts}); check the shards: each sample needs key.jpg|png|webp and key.txt")
    share, allowed = bad.total() / (size + bad.total()), getattr(declaration, "max_quarantined", 0.0)
    if share > allowed:
        raise HelipError(
            f"{out.name}: {bad.total()} of {size + bad.total()} samples cannot be used ({counts}), a share of {share:.4f} over "
            f"max_quarantined {allowed:g}; mend the shards, or raise max_quarantined if that loss is acceptable"
        )
