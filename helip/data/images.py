"""Bytes to an RGB image, or a reason why not. Nothing is repaired or silently replaced."""

import io

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from helip.errors import HelipError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # no others: Pillow would hand EPS to Ghostscript
_registered = (TiffImagePlugin, WebPImagePlugin)  # importing them is what lets Image.open name their formats
MAX_SIDE = 20_000  # pixels
MAX_PIXELS = 89_478_485  # Pillow's own limit, at which it only warns


class BadSample(HelipError):  # noqa: N818  it is the sample that is bad
    """A sample that cannot be used: `reason` is what quarantine counts by, `detail` is for the reader."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail

    def __reduce__(self):
        return BadSample, (self.reason, self.detail)


def decode(data: bytes) -> Image.Image:
    """Returns an RGB image of any size up to MAX_PIXELS; CMYK, palette, grey and 16-bit images are converted. Raises BadSample."""
    return _loaded(data, draft=False)[0]


def verify(data: bytes) -> str:
    """Decodes an image for the sake of its errors (BadSample) and returns its format's file extension.

    A JPEG is decoded at 1/8 scale: all its data are read, most of the arithmetic is not done.
    """
    kind = _loaded(data, draft=True)[1]
    return {"JPEG": "jpg", "MPO": "jpg"}.get(kind, kind.lower())


def _loaded(data: bytes, draft: bool) -> tuple[Image.Image, str]:
    if not data:
        raise BadSample("empty image", "zero bytes")
    try:
        file = Image.open(io.BytesIO(data), formats=FORMATS)
        kind = file.format
        assert kind is not None  # an opened file has one
        _check_header(file)
        if draft:
            file.draft("RGB", (1, 1))
        image = _rgb(file)
    except BadSample:
        raise
    except UnidentifiedImageError:
        raise BadSample("undecodable image", f"{len(data)} bytes that are no {', '.join(FORMATS)} image") from None
    except Image.DecompressionBombError as error:
        raise BadSample("oversized image", str(error)) from None
    except Exception as error:  # a hostile file can make Pillow raise nearly anything: struct.error, IndexError, MemoryError ...
        raise BadSample("undecodable image", f"{type(error).__name__}: {error}") from None
    return image, kind


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise BadSample("oversized image", f"{width} x {height} pixels; at most {MAX_SIDE} a side and {MAX_PIXELS} in all")
    if image.format != "MPO" and getattr(image, "is_animated", False):  # MPO: phones store a preview as second frame
        raise BadSample("animated image", f"{getattr(image, 'n_frames', 'several')} frames")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # Pillow would clip 16 bits at 255: all white
        pixels = np.asarray(image, np.float64)
        scale = 255 / 65535 if pixels.max() > 255 else 1
        image = Image.fromarray((pixels * scale).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
