"""img2dataset over a list of addresses, and what became of each. It runs as a command of its own: its packages are not ours."""

import collections
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from helip.config import DownloadedCorpus
from helip.data.locations import resolve_path
from helip.download.fetching import fetch
from helip.download.tables import write_addresses
from helip.errors import HelipError
from helip.io import atomic_file, digest, read_json, write_json
from helip.locks import alone

VERSION = "1.47.0"  # of img2dataset, the one that was tried
TOOL = Path(__file__).resolve().parents[2] / ".venv-download" / "bin" / "img2dataset"  # of a checkout
CONNECTIONS = 64  # of each process
PATIENCE = Path(__file__).resolve().parent / "patience"  # what ends an answer that takes too long
SLOWEST = 6  # an image may take this many times the timeout
PASSING = frozenset({"timed out", "cut off", "unreachable", "HTTP 408", "HTTP 425", "HTTP 429"})  # and HTTP 5xx


def crawl(declaration: DownloadedCorpus, folder: Path, processes: int | None = None) -> tuple[list[Path], dict]:
    """Fetches the images of the declared table into `folder`/shards and returns the shards and what became of the addresses.

    Killed and started again, it goes on: shards that are whole are not fetched again. Where all were tried by an earlier run, the
    addresses that failed for a passing reason (see PASSING) are tried once more, into `folder`/again-N/shards.
    """
    tool = executable()
    counts = _addresses(declaration, folder)
    rounds = [folder, *sorted(folder.glob("again-*"), key=lambda place: int(place.name.rpartition("-")[2]))]
    # One that has outlived its download is waited for, as two would write the same shards.
    waiting = f"{folder}: an earlier img2dataset is still at work there; waiting until it ends"
    with alone(folder / "lock", waiting) as lock:
        ran = [_finish(tool, declaration, place, processes, lock) for place in rounds]
        if not any(ran) and (again := _again(rounds, folder / f"again-{len(rounds)}")):
            _finish(tool, declaration, again, processes, lock)
            rounds.append(again)
    whole = [stats for place in rounds for stats in sorted((place / "shards").glob("*_stats.json"))]
    shards = [stats.with_name(f"{stats.name.removesuffix('_stats.json')}.tar") for stats in whole]
    return shards, counts | outcome([place / "shards" for place in rounds], declaration.hash or "sha256")


def _finish(tool: list[str], declaration: DownloadedCorpus, place: Path, processes: int | None, lock: int) -> bool:
    """Runs img2dataset over `place`/addresses.parquet unless all of it is done; returns whether it had to."""
    shards = place / "shards"
    wanted = math.ceil(pq.ParquetFile(place / "addresses.parquet").metadata.num_rows / declaration.samples_per_shard)
    if len(list(shards.glob("*_stats.json"))) >= wanted:
        return False
    command = [*tool, *_options(declaration, place, processes or declaration.processes)]
    _run(command, place / "img2dataset.log", lock, SLOWEST * declaration.timeout)
    if undone := wanted - len(list(shards.glob("*_stats.json"))):
        raise HelipError(f"{shards}: img2dataset left {undone} of {wanted} shards undone (see img2dataset.log); run again to go on")
    return True


def _again(rounds: list[Path], place: Path) -> Path | None:
    """Writes `place`/addresses.parquet: what failed for a passing reason in the last round. None where nothing did."""
    failed: collections.Counter[str] = collections.Counter()
    for path in sorted((rounds[-1] / "shards").glob("*.parquet")):
        table = pq.read_table(path, columns=["url", "status", "error_message"]).to_pylist()
        failed.update(row["url"] for row in table if row["status"] != "success" and passes(reason(row["error_message"] or row["status"])))
    if not failed:
        return None
    wanted = []
    table = pq.read_table(rounds[-1] / "addresses.parquet")
    for url in table["url"].to_pylist():
        wanted.append(failed[url] > 0)
        failed[url] -= 1
    place.mkdir(exist_ok=True)
    with atomic_file(place / "addresses.parquet") as temporary:
        pq.write_table(table.filter(pa.array(wanted)), temporary)
    return place


def executable() -> list[str]:
    """Returns the command of img2dataset: $HELIP_IMG2DATASET, or what `make download-tools` installed, or one beside our Python or on the
    PATH.
    """
    named, beside = os.environ.get("HELIP_IMG2DATASET"), Path(sys.executable).with_name("img2dataset")
    program = shutil.which(named) if named else next(filter(None, map(shutil.which, (str(TOOL), str(beside), "img2dataset"))), None)
    if not program:
        raise HelipError(
            f"{named or 'img2dataset'}: not found; run `make download-tools`, or set HELIP_IMG2DATASET to an img2dataset {VERSION}"
        )
    return [program]


def _addresses(declaration: DownloadedCorpus, folder: Path) -> dict[str, int]:
    """addresses.parquet, written once: img2dataset numbers its shards by it, so it must not change under a crawl that goes on."""
    out, counts = folder / "addresses.parquet", folder / "addresses.json"
    source_digest = digest(declaration.source)
    if out.exists() and counts.exists() and read_json(counts)["declaration"] == source_digest:
        return read_json(counts)["counts"]
    if declaration.table.startswith(("http://", "https://")):
        table = folder / "table" / declaration.table.rpartition("/")[2]
        fetch(declaration.table, table, timeout=max(60, declaration.timeout))
    else:
        table = resolve_path(declaration.table, declaration.obtain)
        if not table.exists():
            remedy = declaration.obtain or "put it there or correct the path"
            raise HelipError(f"{table}: there is no table of addresses '{declaration.table}'; {remedy}")
    written = write_addresses(declaration, table, out)
    write_json(counts, {"declaration": source_digest, "counts": written})
    return written


def _options(declaration: DownloadedCorpus, folder: Path, processes: int) -> list[str]:
    options = {
        "url_list": folder / "addresses.parquet", "input_format": "parquet", "url_col": "url", "caption_col": "caption",
        "output_format": "webdataset", "output_folder": folder / "shards", "number_sample_per_shard": declaration.samples_per_shard,
        "image_size": declaration.image_size, "resize_mode": "keep_ratio", "resize_only_if_bigger": True, "extract_exif": False,
        "processes_count": processes, "thread_count": CONNECTIONS, "timeout": declaration.timeout, "retries": declaration.retries,
        "max_shard_retry": 3, "incremental_mode": "incremental", "compute_hash": declaration.hash or "sha256", "enable_wandb": False,
    }  # fmt: skip
    if declaration.hash:
        options["verify_hash"] = json.dumps([declaration.hash, declaration.hash])
    return [f"--{name}={value}" for name, value in options.items()]


def _run(command: list[str], log: Path, lock: int, read_seconds: int) -> None:
    (log.parent / "shards").mkdir(exist_ok=True)
    quiet = {"NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled", "PYTHONUNBUFFERED": "1", "HELIP_READ_SECONDS": str(read_seconds)}
    quiet["PYTHONPATH"] = os.pathsep.join([str(PATIENCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    with open(log, "a") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | quiet, pass_fds=[lock], check=False)
    if done.returncode:
        tail = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise HelipError(f"{log}: img2dataset ended with code {done.returncode} ({tail[0][:300]}); run again to go on")


# ---------------------------------------------------------------- what became of the addresses


def outcome(rounds: list[Path], hash_name: str) -> dict:
    """Returns counts over img2dataset's own tables: fetched, failed by reason, hash_mismatches, duplicate_images (same bytes as an earlier
    one). A failure that a later one of the `rounds` tried again is not counted.
    """
    failed: collections.Counter[str] = collections.Counter()
    hashes = []
    for shards in rounds:
        for path in sorted(shards.glob("*.parquet")):
            table = pq.read_table(path, columns=["status", "error_message", hash_name])
            for status, message in zip(table["status"].to_pylist(), table["error_message"].to_pylist(), strict=True):
                if status != "success" and not (passes(why := reason(message or status)) and shards is not rounds[-1]):
                    failed[why] += 1
            hashes.append(np.array([int(h[:16], 16) for h in table[hash_name].to_pylist() if h], np.uint64))
    hashes_N = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
    fetched = len(hashes_N)
    return {
        "fetched": fetched, "failed": dict(sorted(failed.items())), "hash_mismatches": failed["hash mismatch"],
        "duplicate_images": fetched - len(np.unique(hashes_N)),
    }  # fmt: skip


def passes(why: str) -> bool:
    """Returns whether another try may succeed, by the words of `reason`."""
    return why in PASSING or why.startswith("HTTP 5")


def reason(message: str) -> str:
    """Returns a server's or decoder's message as one of a few reasons."""
    text = message.lower()
    match text:
        case "hash mismatch":
            return "hash mismatch"
        case _ if text.startswith("http error "):
            return f"HTTP {text.split()[2].rstrip(':')}"
        case _ if "timed out" in text:
            return "timed out"
        case _ if "incompleteread" in text:
            return "cut off"
        case _ if "x-robots-tag" in text:
            return "use disallowed by the server"
        case _ if "decod" in text:
            return "undecodable image"
        case _ if "urlopen error" in text or "remote end closed" in text or "connection" in text:
            return "unreachable"
        case _:
            return "other"
