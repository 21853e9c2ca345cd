"""Read a shard once: where each sample's image lies, what its caption says, and why a sample cannot be used."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from helip.data.groups import hash64
from helip.data.images import BadSample, verify
from helip.data.rows import captions_of
from helip.data.tars import BrokenArchive, File, samples

BETWEEN = "\0"  # what stands between the captions of an image; no caption holds it
IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
READ = IMAGES | {"txt", "json"}
PACKED = "packed"  # how our own packing writes captions: `captions` of key.json where there is one, else key.txt
MISSING = frozenset({"nan", "none", "null", "<na>"})  # what libraries write in place of a text that is not there

# One row per sample: 30 bytes, so that 12 million samples are 360 MB on disk and none in memory.
ROW = np.dtype(
    [
        ("shard", "<u4"),  # position in the manifest's list
        ("image_offset", "<u8"),  # of the image's bytes in the shard
        ("image_size", "<u4"),
        ("caption_offset", "<u8"),  # in captions.bin; the key lies right behind its caption
        ("caption_size", "<u4"),
        ("key_size", "<u2"),
    ]
)


@dataclass
class ShardIndex:
    """What one pass over a shard gives. Caption offsets count from this shard's first caption."""

    path: Path
    size: int  # bytes
    rows: np.ndarray  # [n] of ROW
    text: bytes  # caption and key of each sample, back to back
    digests: bytes  # 32 bytes a sample: of captions and image, so that re-sharding changes nothing
    hashes: np.ndarray  # [n, 2] uint64: of the image, and of the captions
    captions: int = 0  # of all samples together
    quarantined: list[tuple[str, str, str]] = field(default_factory=list)  # key, reason, detail
    cut: str = ""  # where and how the archive is broken


def index_shard(path: Path, captions: str = "txt") -> ShardIndex:
    """Returns the index of one shard. `captions` says where they are, as ShardCorpus.captions does.

    Bad samples are quarantined. Where the archive is cut, `cut` of the index says so and the samples before are good. HelipError is
    raised for a file that cannot be opened.
    """
    rows, text, digests, hashes, bad, count = [], bytearray(), bytearray(), [], [], 0
    cut = ""
    try:
        for key, files in _undotted(samples(path, READ if captions.startswith(("json.", PACKED)) else READ - {"json"})):
            try:
                image, caption, others = usable(files, captions)
                name = key.encode("utf-8", "surrogateescape")
                if len(name) > 0xFFFF:
                    raise BadSample("overlong key")
            except BadSample as error:
                bad.append((key, error.reason, error.detail))
                continue
            bad += [(key, *other) for other in others]
            rows.append((0, image.offset, image.size, len(text), len(caption), len(name)))
            text += caption + name
            count += 1 + caption.count(BETWEEN.encode())
            assert image.data is not None  # `usable` refuses an image that was not read
            digests += sample_digest(caption, image.data)
            hashes.append((hash64(image.data), hash64(caption)))
    except BrokenArchive as error:
        cut = str(error)
    return ShardIndex(
        path, path.stat().st_size, np.array(rows, ROW), bytes(text), bytes(digests),
        np.array(hashes, np.uint64).reshape(-1, 2), count, bad, cut,
    )  # fmt: skip


def _undotted(grouped: Iterator[tuple[str, list[File]]]) -> Iterator[tuple[str, list[File]]]:
    """Samples whose names have dots: WebDataset ends a key at the first one, so `a.b.jpg` and `a.b.txt` lie under key `a` as `b.jpg` and
    `b.txt`. Where an image and its caption share such a name, they are the sample `a.b`.
    """
    for key, files in grouped:
        by: dict[str, list[File]] = {}
        for file in files:
            by.setdefault(file.extension.rpartition(".")[0], []).append(file)
        whole = {stem for stem, some in by.items() if stem and _is_sample(some)}
        if not whole:
            yield key, files
            continue
        for stem, some in by.items():
            if not stem:
                yield key, some
            elif stem in whole or "" not in by:  # beside key.jpg, key.mask.png is no sample
                yield f"{key}.{stem}", [replace(file, extension=file.extension.rpartition(".")[2]) for file in some]


def _is_sample(files: list[File]) -> bool:
    ends = {file.extension.rpartition(".")[2] for file in files}
    return bool(ends & IMAGES and ends & {"txt", "json"})


def sample_digest(caption: bytes, image: bytes) -> bytes:
    """Returns the sha256 (32 bytes) of a sample's caption and image."""
    return hashlib.sha256(len(caption).to_bytes(8, "little") + caption + image).digest()


def usable(files: list[File], captions: str = "txt") -> tuple[File, bytes, list[tuple[str, str]]]:
    """Returns the one image and the captions (stripped UTF-8, BETWEEN them a NUL) of a sample, and (reason, detail) of each caption that
    is left out. Raises BadSample where it lacks an image or a usable caption, or has several images.
    """
    images = [f for f in files if f.extension in IMAGES]
    if not images:
        raise BadSample("no image")
    if len(images) > 1:
        raise BadSample("ambiguous sample", f"{len(images)} images under one key")
    if images[0].data is None:
        raise BadSample("oversized image", f"{images[0].size} bytes")
    good, bad = clean_captions(texts_of(files, captions))
    if captions != PACKED:  # our own packing has decoded every image
        verify(images[0].data)
    return images[0], BETWEEN.encode().join(good), bad


def texts_of(files: list[File], captions: str) -> list[Any]:
    """Returns the captions of a sample's .txt or .json file as they are written, for `clean_captions`; `captions` says where. Raises
    BadSample where two files could hold them.
    """
    texts, records = ([f for f in files if f.extension == extension] for extension in ("txt", "json"))
    where, _, key = captions.partition(".")
    if where == PACKED:
        where, key = ("json", "captions") if records else ("txt", "")
    if len(texts) > 1 or (len(records) > 1 and where == "json"):
        raise BadSample("ambiguous sample", f"{len(texts)} .txt and {len(records)} .json files under one key")
    if where == "json":
        return _of_record(records[0].data if records else None, key)
    text = texts[0].data if texts else None
    return [text] if where == "txt" or text is None else [line for line in text.splitlines() if line.strip()] or [b""]


def _of_record(data: bytes | None, key: str) -> list[Any]:
    """The captions under a key of a .json file, read as a table's cell is."""
    if data is None:
        raise BadSample("no caption", "no .json file")
    try:
        value = _at(json.loads(data), key)
    except (ValueError, RecursionError) as error:
        raise BadSample("no caption", f"its .json is no JSON ({type(error).__name__})") from None
    values = captions_of(value)
    if not any(isinstance(one, str) for one in values):
        raise BadSample("no caption", f"'{key}' of its .json is neither a text nor a list of texts")
    return values


def _at(record: Any, key: str) -> Any:
    """The value under a key, or under a path of keys: `meta.caption` where no key is spelled so."""
    inside = record
    for name in [key] if isinstance(record, dict) and key in record else key.split("."):
        if not isinstance(inside, dict) or name not in inside:
            has = ", ".join(map(repr, list(inside)[:8])) if isinstance(inside, dict) else type(inside).__name__
            raise BadSample("no caption", f"its .json has no '{key}'; it has {has}")
        inside = inside[name]
    return inside


def clean_captions(values: list[Any]) -> tuple[list[bytes], list[tuple[str, str]]]:
    """Returns the usable captions of an image, each once, and (reason, detail) of each of the others. Raises BadSample where none is
    usable.
    """
    good: dict[bytes, None] = {}
    bad: list[BadSample] = []
    for value in values or [None]:
        try:
            good[_clean(value)] = None
        except BadSample as error:
            bad.append(error)
    if not good:
        raise bad[0]
    return list(good), [(f"one of several captions: {error.reason}", error.detail) for error in bad]


def _clean(value: Any) -> bytes:
    """A caption as UTF-8 without a byte-order mark and surrounding space. BadSample where it is none; Spark writes texts as bytes."""
    data = _written(value) if isinstance(value, str) else value
    if not isinstance(data, bytes):
        raise BadSample("no caption")
    try:
        caption = data.decode("utf-8-sig").strip().strip("\0").strip()
    except UnicodeDecodeError as error:
        raise BadSample("caption is not UTF-8", f"byte {error.start}: {error.reason}") from None
    if not caption:
        raise BadSample("empty caption")
    if BETWEEN in caption:
        raise BadSample("caption holds a NUL")
    if caption.lower() in MISSING:
        raise BadSample("caption is a missing value", repr(caption))
    return caption.encode()


def _written(text: str) -> bytes:
    """A caption as the bytes that it was read from. BadSample where JSON spells half a character, as a cut emoji is."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadSample("caption is not UTF-8", "it holds half of a surrogate pair") from None
