"""Corpora that are fetched, and corpora made of others: the same folder as `helip corpus` writes, with what became of the source in it."""

import csv
import shutil
from pathlib import Path

import numpy as np

from helip.config import DownloadedCorpus, UnionCorpus
from helip.data.build import write_index
from helip.data.corpus import Corpus
from helip.data.shards import ROW
from helip.download.crawling import crawl
from helip.download.mirrors import fetch_shards
from helip.errors import HelipError
from helip.io import atomic_folder, digest, provenance, read_json, write_json

BLOCK = 1 << 20  # index rows in memory at a time
CARRIED = ("recovered_share", "duplicates", "download")  # of a member's manifest, in that of the union


def download(
    declaration: DownloadedCorpus,
    out: Path,
    fetched: Path,
    workers: int = 1,
    inputs: dict[str, str] | None = None,
    processes: int | None = None,
) -> Corpus:
    """Fetches into the folder `fetched`, which is never deleted, indexes that into the corpus folder `out` and returns the corpus.

    HelipError where less than `min_recovered` could be fetched.
    """
    fetched.mkdir(parents=True, exist_ok=True)
    if declaration.mirror:
        shards, counts = fetch_shards(declaration.mirror, fetched, max(60, declaration.timeout))
    else:
        shards, counts = crawl(declaration, fetched, processes)
        _enough(declaration, counts, out)
    with atomic_folder(out) as folder:
        # img2dataset lists a sample that failed in its table only: the shards hold what was fetched
        write_index(declaration, [s.absolute() for s in shards], [], folder, out, workers, inputs)
        manifest = read_json(folder / "manifest.json")
        write_json(folder / "manifest.json", manifest | {"download": counts})
    return Corpus.open(out)


def _enough(declaration: DownloadedCorpus, counts: dict, out: Path) -> None:
    share = counts["fetched"] / counts["rows"]
    if share < declaration.min_recovered:
        reasons = ", ".join(f"{n} {why}" for why, n in sorted(counts["failed"].items(), key=lambda f: -f[1])) or "none said why"
        raise HelipError(
            f"{out.name}: {counts['fetched']} of {counts['rows']} images could be fetched ({reasons}), a share of {share:.4f} under "
            f"min_recovered {declaration.min_recovered:g}; use a mirror, or lower it if that loss is acceptable"
        )


def join(declaration: UnionCorpus, members: list[Corpus], out: Path, inputs: dict[str, str] | None = None) -> Corpus:
    """Returns the members one behind the other: ids of the second start where the first ends. The index is copied, the shards are not."""
    size, text = sum(map(len, members)), sum(m.manifest["captions_bytes"] for m in members)
    with atomic_folder(out) as folder:
        rows = np.lib.format.open_memmap(folder / "index.npy", "w+", ROW, (size,))
        first = first_shard = first_byte = 0
        for member in members:
            for start in range(0, len(member), BLOCK):
                block = np.load(member.folder / "index.npy", mmap_mode="r")[start : start + BLOCK].copy()
                block["shard"] += first_shard
                block["caption_offset"] += np.uint64(first_byte)
                rows[first + start : first + start + len(block)] = block
            first, first_shard = first + len(member), first_shard + len(member.manifest["shards"])
            first_byte += member.manifest["captions_bytes"]
        rows.flush()
        _concatenate(members, folder)
        write_json(folder / "manifest.json", _manifest(declaration, members, size, text, inputs))
    return Corpus.open(out)


def _concatenate(members: list[Corpus], folder: Path) -> None:
    with open(folder / "captions.bin", "wb") as captions, open(folder / "quarantine.csv", "w", newline="") as quarantine:
        csv.writer(quarantine).writerow(("shard", "key", "reason", "detail"))
        for member in members:
            with open(member.folder / "captions.bin", "rb") as source:
                shutil.copyfileobj(source, captions, 1 << 24)
            left_out = member.folder / "quarantine.csv"
            if left_out.exists():
                with open(left_out, errors="backslashreplace") as source:
                    source.readline()
                    shutil.copyfileobj(source, quarantine)


def _manifest(declaration: UnionCorpus, members: list[Corpus], size: int, text: int, inputs: dict[str, str] | None) -> dict:
    shards = [
        {**entry, "path": str(member.shard_path(number).absolute())}
        for member in members
        for number, entry in enumerate(member.manifest["shards"])
    ]
    bad: dict[str, int] = {}
    for member in members:
        for why, n in member.manifest["quarantined"].items():
            bad[why] = bad.get(why, 0) + n
    published = declaration.published_size
    of = [{"folder": str(m.folder), "size": len(m), "digest": m.digest} | {n: m.manifest.get(n) for n in CARRIED} for m in members]
    return provenance(
        declaration, inputs, size=size, digest=digest([m.digest for m in members]), quarantined=bad, read=size + sum(bad.values()),
        published_size=published, recovered_share=size / published if published else None, captions_bytes=text, shards=shards,
        captions=sum(m.manifest.get("captions", len(m)) for m in members), members=of,
    )  # fmt: skip
