"""An indexed corpus on disk: any sample in one read, nothing of it held in memory.

A corpus is a folder: `manifest.json` (what it is), `index.npy` (a row of shards.ROW per sample), `captions.bin` (the captions of an
image with a NUL between them), `quarantine.csv` (samples left out, and why) and, for corpora written by this project, `shards/`. A
sample's id is its row.
"""

import contextlib
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from helip.data.groups import first_equal, hash64
from helip.data.images import BadSample, decode
from helip.data.index import HASHES
from helip.data.packing import read_names
from helip.data.shards import BETWEEN, ROW
from helip.errors import HelipError
from helip.io import atomic_file, load_array, printable, read_json

OPEN_SHARDS = 128  # a published corpus has more shards than a process may open files


class Corpus:
    """`len`, `digest` (of the captions and images, in order), `manifest`, and samples by id. Safe to fork, spawn and pickle."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.manifest: dict[str, Any] = read_json(self.folder / "manifest.json", "helip corpus")
        if absent := next((name for name in ("digest", "shards", "size", "captions_bytes") if name not in self.manifest), None):
            raise HelipError(f"{self.folder / 'manifest.json'}: no manifest of a corpus ('{absent}' is missing); index the corpus again")
        self.digest: str = self.manifest["digest"]
        self._shards: list[dict[str, Any]] = self.manifest["shards"]
        wanted = (self.manifest["size"], self.manifest["captions_bytes"])
        self._rows = self._mapped("index.npy")
        self._text = self._mapped("captions.bin")
        if self._rows.dtype != ROW or (len(self._rows), len(self._text)) != wanted:
            raise HelipError(f"{self.folder}: index.npy or captions.bin does not match manifest.json; index the corpus again")
        self._names: dict[int, dict[str, str]] = {}
        self._start_reading()

    @property
    def recovered_share(self) -> float | None:
        """How much of the published corpus this is, None where nothing is published. Every number that is computed from it carries this
        on.
        """
        return self.manifest.get("recovered_share")

    @classmethod
    def open(cls, folder: Path | str) -> "Corpus":
        """Opens the corpus in `folder`. Raises HelipError where it is missing, broken, or its files do not belong together."""
        return cls(folder)

    def _mapped(self, name: str) -> np.ndarray:
        path = self.folder / name
        if path.suffix == ".npy":
            return load_array(path, "index the corpus again")
        try:
            return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        except (OSError, ValueError) as error:
            raise HelipError(f"{path}: cannot be read ({error}); index the corpus again") from None

    def __reduce__(self):
        return Corpus, (self.folder.absolute(),)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Corpus({str(self.folder)!r}, {len(self)} samples, digest {self.digest[:12]})"

    # ------------------------------------------------------------ samples

    def captions(self, i: int) -> list[str]:
        """Returns all captions of sample i, at least one."""
        row = self._rows[i]
        start = int(row["caption_offset"])
        return self._text[start : start + int(row["caption_size"])].tobytes().decode().split(BETWEEN)

    def caption(self, i: int) -> str:
        """Returns the first caption of sample i, the one that encoders and selections look at."""
        return self.captions(i)[0]

    def caption_counts(self) -> np.ndarray:
        """Returns how many captions each sample has, [N] int64."""
        if self.manifest.get("captions", len(self)) == len(self):
            return np.ones(len(self), np.int64)
        between = np.flatnonzero(self._text == ord(BETWEEN))
        starts = self._rows["caption_offset"].astype(np.int64)
        ends = starts + self._rows["caption_size"]
        counts: np.ndarray = 1 + np.searchsorted(between, ends) - np.searchsorted(between, starts)
        return counts

    def image_groups(self) -> np.ndarray:
        """Returns for each sample the id of the first one with the same image bytes, int64 [N]: its own id where there is none before."""
        return first_equal(self.hashes()[:, 0])

    def caption_groups(self) -> np.ndarray:
        """Returns for each sample the id of the first one with the same captions, int64 [N]: its own id where there is none before."""
        return first_equal(self.hashes()[:, 1])

    def hashes(self) -> np.ndarray:
        """Returns a number for the image and one for the captions of each sample, uint64 [N, 2]: equal where those are.

        Of a corpus indexed by an earlier version they are computed from all images, and kept where its folder can be written.
        """
        path = self.folder / HASHES
        if path.exists():
            hashes = load_array(path, "delete it: it is made again")
            if hashes.shape == (len(self), 2) and hashes.dtype == np.uint64:
                return hashes
            raise HelipError(f"{path}: is not of this corpus; delete it: it is made again")
        both = [(hash64(self.image_bytes(i)), hash64(BETWEEN.join(self.captions(i)).encode())) for i in range(len(self))]
        hashes = np.array(both, np.uint64).reshape(-1, 2)
        with contextlib.suppress(HelipError), atomic_file(path) as temporary, open(temporary, "wb") as file:
            np.save(file, hashes)
        return hashes

    def key(self, i: int) -> str:
        """Returns the name of sample i in its shard."""
        row = self._rows[i]
        start = int(row["caption_offset"]) + int(row["caption_size"])
        return self._text[start : start + int(row["key_size"])].tobytes().decode("utf-8", "surrogateescape")

    def name(self, i: int) -> str:
        """Returns what the user calls the image of sample i: the file that it was packed from as it was written, else its key. It can be
        written as UTF-8, whatever bytes the name has.
        """
        shard, key = self.shard_of(i), self.key(i)
        if shard not in self._names:
            self._names[shard] = read_names(self.shard_path(shard))
        return printable(self._names[shard].get(key, key))

    def shard_of(self, i: int) -> int:
        """Returns the position, in the manifest's list of shards, of the shard that holds sample i."""
        return int(self._rows[i]["shard"])

    def image_bytes(self, i: int) -> bytes:
        """Returns the encoded image of sample i, in one read. Raises HelipError where the shard changed since it was indexed."""
        row = self._rows[i]
        file = self._file(int(row["shard"]))
        size = int(row["image_size"])
        data = os.pread(file.fileno(), size, int(row["image_offset"]))
        if len(data) != size:
            raise self._changed(int(row["shard"]), f"sample {i} ends after {len(data)} of {size} bytes")
        return data

    def image(self, i: int) -> Image.Image:
        """Returns the RGB image of sample i. Raises HelipError where it cannot be decoded any more."""
        try:
            return decode(self.image_bytes(i))
        except BadSample as error:
            raise self._changed(self.shard_of(i), f"sample {i}, key '{self.key(i)}': {error}") from None

    # ------------------------------------------------------------ shards

    def shard_path(self, shard: int) -> Path:
        """Returns the path of a shard, given by its position in the manifest's list."""
        return self.folder / self._shards[shard]["path"]  # an absolute path stays what it is

    def _start_reading(self) -> None:
        self._files: OrderedDict[int, BinaryIO] = OrderedDict()
        self._lock, self._process = threading.Lock(), os.getpid()

    def _file(self, shard: int) -> BinaryIO:
        if self._process != os.getpid():  # forked: a thread that is not here may have held the lock
            self._start_reading()
        with self._lock:
            if shard in self._files:
                self._files.move_to_end(shard)
                return self._files[shard]
            file = self._files[shard] = self._opened(shard)
            if len(self._files) > OPEN_SHARDS:
                self._files.popitem(last=False)  # closed when its last reader lets go of it
            return file

    def _opened(self, shard: int) -> BinaryIO:
        path = self.shard_path(shard)
        try:
            file = open(path, "rb", buffering=0)  # noqa: SIM115  kept open for later reads
        except OSError as error:
            raise HelipError(
                f"{path}: shard of {self.folder} cannot be opened ({error.strerror}); put it back or index the corpus again"
            ) from None
        size = os.fstat(file.fileno()).st_size
        if size != self._shards[shard]["size"]:
            file.close()
            raise self._changed(shard, f"{size} bytes now, {self._shards[shard]['size']} then")
        return file

    def _changed(self, shard: int, what: str) -> HelipError:
        return HelipError(
            f"{self.shard_path(shard)}: changed since {self.folder} was indexed ({what}); restore it or index the corpus again"
        )
