"""Read a shard once: where each sample's image lies, what its caption says, and why a sample cannot be used."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helip.data.images import BadSample, verify
from helip.data.tars import File, samples

BETWEEN = "\0"  # what stands between the captions of an image; no caption holds it
IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
READ = IMAGES | {"txt", "json"}

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
    captions: int = 0  # of all samples together
    quarantined: list[tuple[str, str, str]] = field(default_factory=list)  # key, reason, detail


def index_shard(path: Path, captions: str = "txt") -> ShardIndex:
    """Returns the index of one shard. `captions` says where they are, as ShardCorpus.captions does.

    Raises HelipError when the archive itself is broken; bad samples inside it are quarantined.
    """
    rows, text, digests, bad, count = [], bytearray(), bytearray(), [], 0
    for key, files in samples(path, READ if captions.startswith("json.") else READ - {"json"}):
        try:
            image, caption = usable(files, captions)
            name = key.encode("utf-8", "surrogateescape")
            if len(name) > 0xFFFF:
                raise BadSample("overlong key")
        except BadSample as error:
            bad.append((key, error.reason, error.detail))
            continue
        rows.append((0, image.offset, image.size, len(text), len(caption), len(name)))
        text += caption + name
        count += 1 + caption.count(BETWEEN.encode())
        assert image.data is not None  # `usable` refuses an image that was not read
        digests += sample_digest(caption, image.data)
    return ShardIndex(path, path.stat().st_size, np.array(rows, ROW), bytes(text), bytes(digests), count, bad)


def sample_digest(caption: bytes, image: bytes) -> bytes:
    """Returns the sha256 (32 bytes) of a sample's caption and image."""
    return hashlib.sha256(len(caption).to_bytes(8, "little") + caption + image).digest()


def usable(files: list[File], captions: str = "txt") -> tuple[File, bytes]:
    """Returns the one image and the captions (stripped UTF-8, BETWEEN them a NUL) of a sample. Raises BadSample where it lacks either, or
    has several images.
    """
    images, texts = [f for f in files if f.extension in IMAGES], [f for f in files if f.extension == "txt"]
    records = [f for f in files if f.extension == "json"] if captions.startswith("json.") else []
    if not images:
        raise BadSample("no image")
    if len(images) > 1 or len(texts) > 1 or len(records) > 1:
        count = f"{len(images)} images, {len(texts)} .txt, {len(records)} .json files"
        raise BadSample("ambiguous sample", f"{count} under one key")
    if images[0].data is None:
        raise BadSample("oversized image", f"{images[0].size} bytes")
    written: list[bytes | None]
    match captions.partition("."):
        case "json", _, key:
            written = _of_record(records[0].data if records else None, key)
        case "lines", _, _:
            written = [*(texts[0].data.splitlines() if texts and texts[0].data is not None else [])] or [None]
        case _:
            written = [texts[0].data if texts else None]
    usual = [clean_caption(one) for one in written if one is None or len(written) == 1 or one.strip()]
    if not usual:
        raise BadSample("empty caption")
    verify(images[0].data)
    return images[0], BETWEEN.encode().join(dict.fromkeys(usual))


def _of_record(data: bytes | None, key: str) -> list[bytes | None]:
    """The captions under a key of a .json file: a string, or a list of strings."""
    if data is None:
        raise BadSample("no caption", "no .json file")
    try:
        value = json.loads(data)[key]
    except (ValueError, KeyError, TypeError) as error:
        raise BadSample("no caption", f"its .json has no '{key}' ({type(error).__name__})") from None
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(one, str) for one in values):
        raise BadSample("no caption", f"'{key}' of its .json is neither a text nor a list of texts")
    return [one.encode("utf-8", "surrogateescape") for one in values]


def clean_caption(data: bytes | None) -> bytes:
    """Returns a caption as UTF-8 without a byte-order mark and surrounding space. Raises BadSample where it is none."""
    if data is None:
        raise BadSample("no caption")
    try:
        caption = data.decode("utf-8-sig").strip().strip("\0")
    except UnicodeDecodeError as error:
        raise BadSample("caption is not UTF-8", f"byte {error.start}: {error.reason}") from None
    if not caption:
        raise BadSample("empty caption")
    if BETWEEN in caption:
        raise BadSample("caption holds a NUL")
    return caption.encode()
