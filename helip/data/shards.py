"""Read a shard once: where each sample's image lies, what its caption says, and why a sample cannot be used."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helip.data.images import BadSample, verify
from helip.data.tars import File, samples

IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
READ = IMAGES | {"txt"}

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
    digests: bytes  # 32 bytes a sample: of caption and image, so that re-sharding changes nothing
    quarantined: list[tuple[str, str, str]] = field(default_factory=list)  # key, reason, detail


def index_shard(path: Path) -> ShardIndex:
    """Raises HelipError when the archive itself is broken; bad samples inside it are quarantined."""
    rows, text, digests, bad = [], bytearray(), bytearray(), []
    for key, files in samples(path, READ):
        try:
            image, caption = usable(files)
            name = key.encode("utf-8", "surrogateescape")
            if len(name) > 0xFFFF:
                raise BadSample("overlong key")
        except BadSample as error:
            bad.append((key, error.reason, error.detail))
            continue
        rows.append((0, image.offset, image.size, len(text), len(caption), len(name)))
        text += caption + name
        assert image.data is not None  # `usable` refuses an image that was not read
        digests += sample_digest(caption, image.data)
    return ShardIndex(path, path.stat().st_size, np.array(rows, ROW), bytes(text), bytes(digests), bad)


def sample_digest(caption: bytes, image: bytes) -> bytes:
    """Returns the sha256 (32 bytes) of a sample's caption and image."""
    return hashlib.sha256(len(caption).to_bytes(8, "little") + caption + image).digest()


def usable(files: list[File]) -> tuple[File, bytes]:
    """Returns the one image and the caption (stripped UTF-8) of a sample. Raises BadSample where it has not one of each."""
    images = [f for f in files if f.extension in IMAGES]
    captions = [f for f in files if f.extension == "txt"]
    if not images:
        raise BadSample("no image")
    if len(images) > 1 or len(captions) > 1:
        raise BadSample("ambiguous sample", f"{len(images)} images, {len(captions)} captions under one key")
    if images[0].data is None:
        raise BadSample("oversized image", f"{images[0].size} bytes")
    caption = clean_caption(captions[0].data if captions else None)
    verify(images[0].data)
    return images[0], caption


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
    return caption.encode()
