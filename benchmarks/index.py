"""The index of a 12-million-pair corpus and its pair set: seconds and peak memory to write, open, join and read them.

Rows are synthetic and written through the code that indexes real shards and saves real pair sets; the shards behind them do not exist.
k is 50 by default: the 500 of the paper would be 48 GB on disk and changes nothing in memory.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

LIMIT = 2 << 30  # bytes


def write_index(folder: Path, rows: int) -> None:
    from helip.config import ShardCorpus
    from helip.data.index import IndexWriter
    from helip.data.shards import ROW, ShardIndex
    from helip.io import provenance, write_json

    words = b"a photograph of a brown dog that runs on the beach with a red ball"
    folder.mkdir()
    with IndexWriter(folder) as index:
        for number, first in enumerate(range(0, rows, 10_000)):
            n = min(10_000, rows - first)
            keys = [b"%09d" % (first + i) for i in range(n)]
            text = b"".join(words + key for key in keys)
            made = np.zeros(n, ROW)
            made["image_offset"], made["image_size"] = np.arange(n) * 30_720 + 512, 30_000
            made["caption_offset"], made["caption_size"], made["key_size"] = np.arange(n) * (len(words) + 9), len(words), 9
            hashes = np.arange(first, first + 2 * n, dtype=np.uint64).reshape(n, 2)
            index.add(ShardIndex(Path(f"/nowhere/{number:05d}.tar"), n * 32_256, made, text, bytes(32 * n), hashes, n))
    facts = {"size": index.size, "digest": index.digest, "quarantined": {}, "captions_bytes": index.text_size, "shards": index.shards}
    write_json(folder / "manifest.json", provenance(ShardCorpus(path="/nowhere"), recovered_share=None, published_size=None, **facts))


def open_index(folder: Path, rows: int) -> None:
    from helip.data.corpus import Corpus

    corpus = Corpus.open(folder)
    assert len(corpus) == rows
    for i in np.random.default_rng(0).integers(0, rows, 100_000).tolist():
        assert corpus.key(i) == f"{i:09d}"
    assert corpus.caption(rows - 1).startswith("a photograph")


def join_index(folder: Path, rows: int) -> None:
    from helip.config import UnionCorpus
    from helip.data.corpus import Corpus
    from helip.download.corpora import join

    one = Corpus.open(folder)
    union = join(UnionCorpus(of=("a", "b")), [one, one], folder.with_name("union"))
    assert len(union) == 2 * rows and union.key(rows + 7) == "000000007"


def write_pairs(folder: Path, rows: int, k: int) -> None:
    """As a mining job's shards leave their arrays: written block by block into memory-mapped files, and saved from them."""
    from helip.config import MiningSpec
    from helip.mining import PairSet
    from helip.mining.pairs import ARRAYS

    parts = folder.with_name("parts")
    parts.mkdir()
    shapes = {"ids": rows * k, "scores": rows * k, "offsets": rows + 1, "noise": rows}
    arrays = {n: np.lib.format.open_memmap(parts / f"{n}.npy", "w+", ARRAYS[n], (size,)) for n, size in shapes.items()}
    rng = np.random.default_rng(0)
    for first in range(0, rows * k, 1 << 22):
        end = min(first + (1 << 22), rows * k)
        arrays["ids"][first:end] = rng.integers(0, rows, end - first)
        arrays["scores"][first:end] = 0.5
    arrays["offsets"][:] = np.arange(rows + 1, dtype=np.int64) * k
    pairs = PairSet(arrays["ids"], arrays["scores"], arrays["offsets"], arrays["noise"], MiningSpec(k=k), rows)
    pairs.save(folder, corpus_digest="synthetic")


def open_pairs(folder: Path, rows: int, k: int) -> None:
    from helip.mining import PairSet

    pairs = PairSet.open(folder, corpus_digest="synthetic")
    assert len(pairs) == rows
    for i in np.random.default_rng(1).integers(0, rows, 100_000).tolist():
        assert len(pairs.hard(i)) == k


STEPS = {"write index": write_index, "open index, read 100,000 keys": open_index, "join with itself": join_index,
         "write pair set": write_pairs, "open pair set, read 100,000 targets": open_pairs}  # fmt: skip


def measured(step: str, folder: Path, rows: int, k: int) -> list[float]:
    """Seconds, peak bytes of memory of its own, and peak bytes with pages of mapped files, of one step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), "--rows", str(rows), "--k", str(k)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return [float(value) for value in printed]


class Watch(threading.Thread):
    """The largest RssAnon seen, every 20 ms: what a process holds that the system cannot drop as it drops pages of mapped files."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.over = 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.look()

    def look(self) -> None:
        with open("/proc/self/status") as status:
            now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))
        self.peak = max(self.peak, now)


def run_step(step: str, folder: Path, rows: int, k: int) -> None:
    watch, start = Watch(), time.perf_counter()
    watch.start()
    match step:
        case "write pair set" | "open pair set, read 100,000 targets":
            STEPS[step](folder / "pairs", rows, k)
        case _:
            STEPS[step](folder / "corpus", rows)
    seconds = time.perf_counter() - start
    watch.look()
    print(seconds, watch.peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12_000_000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path, help="where to write (deleted afterwards); by default a temporary folder")
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.folder, arguments.rows, arguments.k)
        return 0
    worst = 0.0
    print(f"{'':38} {'seconds':>8}   {'memory':>8}   {'with mapped files':>17}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        for step in STEPS:
            seconds, peak, resident = measured(step, Path(place), arguments.rows, arguments.k)
            worst = max(worst, peak)
            print(f"{step:38} {seconds:8.1f}   {peak / 2**20:4.0f} MiB   {resident / 2**20:13.0f} MiB", flush=True)
    print(f"{arguments.rows:,} rows, k {arguments.k}: peak {worst / 2**20:.0f} MiB, {'under' if worst < LIMIT else 'OVER'} 2 GiB")
    return 0 if worst < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
