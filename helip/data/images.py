"""Bytes to an RGB image, or a reason why not. Nothing is repaired or silently replaced."""

import contextlib
import io

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from helip.errors import HelipError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # no others: Pillow would hand EPS to Ghostscript
_registered = (TiffImagePlugin, WebPImagePlugin)  # importing them is what lets Image.open name their formats
MAX_SIDE = 20_000  # pixels
MAX_PIXELS = 89_478_485  # Pillow's own limit, at which it only warns
BITS, SAMPLE_FORMAT, SIGNED = 258, 339, 2  # TIFF tags, and the sample format of signed integers
TURNS = {  # EXIF orientation -> what makes the image upright (CIPA DC-008, tag 0x0112)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadSample(HelipError):  # noqa: N818  it is the sample that is bad
    """A sample that cannot be used: `reason` is what quarantine counts by, `detail` is for the reader."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail

    def __reduce__(self):
        return BadSample, (self.reason, self.detail)


def decode(data: bytes) -> Image.Image:
    """Returns an upright RGB image of any size up to MAX_PIXELS. Raises BadSample.

    CMYK, palette and grey images are converted. The EXIF orientation is applied. Transparent pixels are laid on white. 16-bit integers
    are scaled by the range of their type, and floats from 0..1.
    """
    return _loaded(data)[0]


def decode_small(data: bytes, side: int) -> Image.Image:
    """Returns what `decode` does, but a JPEG at its smallest scale at which both sides have `side` pixels. Raises BadSample."""
    return _loaded(data, side)[0]


def as_decoded(image: Image.Image) -> Image.Image:
    """Returns an image that was opened elsewhere, as `decode` would have it. Raises BadSample for float values outside 0..1."""
    return _upright(_rgb(image), _orientation(image))


def verify(data: bytes) -> str:
    """Decodes an image for the sake of its errors (BadSample) and returns its format's file extension.

    A JPEG is decoded at 1/8 scale: all its data are read, most of the arithmetic is not done.
    """
    kind = _loaded(data, side=1)[1]
    return {"JPEG": "jpg", "MPO": "jpg"}.get(kind, kind.lower())


def _loaded(data: bytes, side: int | None = None) -> tuple[Image.Image, str]:
    """The image, and Pillow's name of its format. side: pixels a side that suffice of a JPEG."""
    if not data:
        raise BadSample("empty image", "zero bytes")
    try:
        file = Image.open(io.BytesIO(data), formats=FORMATS)
        kind = file.format
        assert kind is not None  # an opened file has one
        _check_header(file)
        if side is not None:
            file.draft("RGB", (side, side))
        image = as_decoded(file)
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
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image).convert("RGB")
    image.load()  # PNG and WebP may say only at their end that pixels are transparent
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """One channel of more than 8 bits as 8 bits: Pillow's own conversion clips at 255."""
    pixels = np.asarray(image, np.float64)
    if image.mode.startswith("F"):
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # NaN too
            raise BadSample("float image outside 0..1", f"its values span {low:g} to {high:g}; scale them to 0..1")
        return Image.fromarray((pixels * 255).astype(np.uint8))
    grey = (pixels * (255 / _largest(image))).clip(0, 255).astype(np.uint8)
    if isinstance(hidden := image.info.get("transparency"), int):
        grey[pixels == hidden] = 255
    return Image.fromarray(grey)


def _largest(image: Image.Image) -> int:
    """The largest value that a pixel of the file's integer type can have."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 65535  # PNG has no deeper grey
    bits, signed = image.tag_v2.get(BITS, (16,))[0], image.tag_v2.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
    return int((1 << (bits - signed)) - 1)


def _upright(image: Image.Image, orientation: object) -> Image.Image:
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return image.transpose(turn) if turn is not None else image


def _orientation(image: Image.Image) -> object:
    """The EXIF orientation that is still to be applied; a broken EXIF block says nothing. Pillow turns TIFF files itself."""
    with contextlib.suppress(Exception):
        return image.getexif().get(ExifTags.Base.Orientation)
    return None
