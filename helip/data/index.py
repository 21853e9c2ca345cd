"""Writing a corpus' index as its shards are read: index.npy, captions.bin and quarantine.csv, one shard in memory at a time."""

import collections
import contextlib
import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from helip.data.shards import ROW, ShardIndex

Left = list[tuple[str, str, str]]  # samples left out: key, reason, detail


class IndexWriter:
    """The writer takes each shard in order by `add`; `size`, `captions`, `text_size`, `bad`, `shards`, `duplicates` and `digest` then tell
    what there is.
    """

    def __init__(self, folder: Path):
        self.size = self.text_size = self.captions = 0
        self.bad: collections.Counter[str] = collections.Counter()  # by reason
        self.shards: list[dict[str, Any]] = []
        self._folder, self._digest = folder, hashlib.sha256()
        self._seen: list[np.ndarray] = []  # 8 bytes a sample, all that is kept of it in memory
        with contextlib.ExitStack() as files:
            self._rows = files.enter_context(open(folder / "index.npy", "wb"))
            self._text = files.enter_context(open(folder / "captions.bin", "wb"))
            self._left = csv.writer(files.enter_context(open(folder / "quarantine.csv", "w", newline="", errors="backslashreplace")))
            self._left.writerow(("shard", "key", "reason", "detail"))
            self._header(0)
            self._files = files.pop_all()

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(self, *_) -> None:
        with self._files:
            self._header(self.size)

    @property
    def digest(self) -> str:
        """The digest (sha256, hexadecimal) of all captions and images so far, in order; how they are cut into shards does not change it."""
        return self._digest.hexdigest()

    @property
    def duplicates(self) -> int:
        """The number of samples whose image and caption are those of an earlier one, byte for byte."""
        return self.size - len(np.unique(np.concatenate(self._seen))) if self._seen else 0

    def add(self, shard: ShardIndex) -> None:
        """Appends a shard's samples to the index, and those that it quarantined to quarantine.csv. `shard.rows` is changed in place."""
        shard.rows["shard"] = len(self.shards)
        shard.rows["caption_offset"] += np.uint64(self.text_size)
        self._rows.write(shard.rows.tobytes())
        self._text.write(shard.text)
        self._digest.update(shard.digests)
        self._seen.append(np.frombuffer(shard.digests, np.uint64)[::4].copy())
        self.leave_out(shard.quarantined, shard.path.name)
        own = shard.path.is_relative_to(self._folder)  # then the corpus can be moved
        path = shard.path.relative_to(self._folder) if own else shard.path
        self.shards.append({"path": str(path), "size": shard.size, "samples": len(shard.rows)})
        self.size += len(shard.rows)
        self.text_size += len(shard.text)
        self.captions += shard.captions

    def leave_out(self, samples: Left, shard: str = "") -> None:
        """Writes samples that cannot be used to quarantine.csv and counts them by reason. shard: the file's name, or none."""
        self._left.writerows((shard, *sample) for sample in samples)
        self.bad.update(reason for _, reason, _ in samples)

    def _header(self, size: int) -> None:
        """NumPy pads the header so that the first axis can grow: it is written again when the size is known."""
        self._rows.seek(0)
        head = {"descr": np.lib.format.dtype_to_descr(ROW), "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(self._rows, head)
