"""Images and captions of a user's own files, packed into WebDataset shards that `helip.data.shards` reads back."""

import csv
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from helip.data.images import BadSample, verify
from helip.data.index import Left
from helip.data.rows import Row
from helip.data.shards import clean_captions
from helip.data.tars import write

Files = list[tuple[str, bytes]]
LONGEST = 300  # characters of what stands for an image that are said where it cannot be read


def pack(rows: Iterator[Row], folder: Path, samples_per_shard: int) -> tuple[list[Path], Left]:
    """Writes shards/*.tar into `folder`, image bytes as they are, one sample in memory at a time.

    A sample is key.jpg and key.txt, its first caption; where it has several, all of them are the list `captions` of key.json. Its key is
    the number of its row; shards/*.names.csv say which image of the user's each key is. Returns the shards and what was left out: samples
    without a usable image or caption, and single captions.
    """
    (folder / "shards").mkdir()
    shards: list[Path] = []
    left_out: Left = []
    samples = _samples(rows, left_out)
    for first in samples:
        shards.append(folder / "shards" / f"{len(shards):05d}.tar")
        whole = itertools.chain([first], itertools.islice(samples, samples_per_shard - 1))
        with open(names_file(shards[-1]), "w", newline="", encoding="utf-8", errors="surrogateescape") as table:
            names = csv.writer(table, lineterminator="\n", quoting=csv.QUOTE_ALL)  # a name may hold any mark but NUL
            names.writerow(("key", "image"))
            write(shards[-1], _named(whole, names.writerow))
    return shards, left_out


def names_file(shard: Path) -> Path:
    """Returns the file beside a shard of our own packing that says which image of the user's each key is."""
    return shard.with_suffix(".names.csv")


def read_names(shard: Path) -> dict[str, str]:
    """Returns the user's images by key, as they were written in a folder or a table; none for a shard that was not packed here."""
    if not names_file(shard).is_file():
        return {}
    with open(names_file(shard), newline="", encoding="utf-8", errors="surrogateescape") as table:
        return dict(itertools.islice(csv.reader(table), 1, None))


def _named(samples: Iterator[tuple[str, str, Files]], tell: Callable[[tuple[str, str]], object]) -> Iterator[tuple[str, bytes]]:
    for key, name, files in samples:
        tell((key, name))
        yield from files


def _samples(rows: Iterator[Row], left_out: Left) -> Iterator[tuple[str, str, Files]]:
    for number, row in enumerate(rows):
        try:
            captions, others = clean_captions(row.captions)
            left_out += [(row.place, *other) for other in others]
            key, data = f"{number:09d}", _image(row)
            yield key, row.name or row.place, _files(key, data, [caption.decode() for caption in captions])
        except BadSample as error:
            where = str(row.image)[:LONGEST] if isinstance(row.image, str | Path) else ""
            left_out.append((row.place, error.reason, ": ".join(part for part in (where, error.detail) if part)))


def _files(key: str, image: bytes, captions: list[str]) -> Files:
    files = [(f"{key}.{verify(image)}", image), (f"{key}.txt", captions[0].encode())]
    if len(captions) > 1:
        files.append((f"{key}.json", json.dumps({"captions": captions}, ensure_ascii=False).encode()))
    return files


def _image(row: Row) -> bytes:
    if isinstance(row.image, bytes):
        return row.image
    if not row.image:
        raise BadSample("no image")
    try:
        return Path(row.image).read_bytes()
    except (OSError, ValueError) as error:
        raise BadSample("image file cannot be read", getattr(error, "strerror", None) or str(error)) from None
