"""Images and captions of a user's own files, packed into WebDataset shards that `helip.data.shards` reads back."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from helip.data.images import BadSample, verify
from helip.data.index import Left
from helip.data.rows import Row
from helip.data.shards import clean_caption
from helip.data.tars import write

Files = list[tuple[str, bytes]]


def pack(rows: Iterator[Row], folder: Path, samples_per_shard: int) -> tuple[list[Path], Left]:
    """Writes shards/*.tar into `folder`, image bytes as they are, one sample in memory at a time.

    A sample is key.jpg and key.txt, its first caption; where it has several, all of them are the list `captions` of key.json. Its key is
    the number of its row. Returns the shards and what was left out: samples without a usable image or caption, and single captions.
    """
    (folder / "shards").mkdir()
    shards: list[Path] = []
    left_out: Left = []
    samples = _samples(rows, left_out)
    for first in samples:
        shards.append(folder / "shards" / f"{len(shards):05d}.tar")
        whole = itertools.chain([first], itertools.islice(samples, samples_per_shard - 1))
        write(shards[-1], (file for sample in whole for file in sample))
    return shards, left_out


def _samples(rows: Iterator[Row], left_out: Left) -> Iterator[Files]:
    for number, row in enumerate(rows):
        try:
            captions = _captions(row, left_out)
            data = _image(row)
            yield _files(f"{number:09d}", data, captions)
        except BadSample as error:
            where = str(row.image) if isinstance(row.image, str | Path) else ""
            left_out.append((row.place, error.reason, ": ".join(part for part in (where, error.detail) if part)))


def _files(key: str, image: bytes, captions: list[str]) -> Files:
    files = [(f"{key}.{verify(image)}", image), (f"{key}.txt", captions[0].encode())]
    if len(captions) > 1:
        files.append((f"{key}.json", json.dumps({"captions": captions}, ensure_ascii=False).encode()))
    return files


def _captions(row: Row, left_out: Left) -> list[str]:
    """The usable ones, each once. A bad one among good ones is left out alone; BadSample where none is good."""
    good: dict[str, None] = {}
    bad: list[BadSample] = []
    for value in row.captions or [None]:
        try:
            good[clean_caption(value.encode("utf-8", "surrogateescape") if isinstance(value, str) else None).decode()] = None
        except BadSample as error:
            bad.append(error)
    if not good:
        raise bad[0]
    left_out += [(row.place, f"one of several captions: {error.reason}", error.detail) for error in bad]
    return list(good)


def _image(row: Row) -> bytes:
    if isinstance(row.image, bytes):
        return row.image
    if not row.image:
        raise BadSample("no image")
    try:
        return Path(row.image).read_bytes()
    except (OSError, ValueError) as error:
        raise BadSample("image file cannot be read", getattr(error, "strerror", None) or str(error)) from None
