"""Decoding: every kind of image the failure contract names."""

import io
import struct
import zlib

import numpy as np
import pytest
from archives import encoded, noisy
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helip.data.images import BadSample, decode, verify


@pytest.mark.parametrize(
    ("kind", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "bmp"), ("GIF", "gif"), ("TIFF", "tiff")]
)
def test_usual_formats_decode_to_rgb_and_tell_their_extension(kind, extension):
    image = decode(encoded(kind))
    assert (image.mode, image.size) == ("RGB", (8, 6))
    assert verify(encoded(kind)) == extension


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("1", "PNG")])
def test_other_colour_modes_become_rgb(mode, kind):
    assert decode(encoded(kind, mode=mode)).mode == "RGB"


def test_cmyk_keeps_its_colour():
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (250, 10, 10)).convert("CMYK").save(out, "JPEG", quality=95)
    red, green, blue = np.asarray(decode(out.getvalue())).reshape(-1, 3).mean(0)
    assert red > 230
    assert max(green, blue) < 30


def test_sixteen_bit_grey_is_scaled_not_clipped():
    out = io.BytesIO()
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(out, "PNG")
    assert [p[0] for p in np.asarray(decode(out.getvalue()))[0].tolist()] == [0, 127, 255]


pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore::UserWarning:PIL")


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing: a decompression bomb's first bytes."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def _animated(kind: str) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "green", "blue")]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=50)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty image"),
        (b"<html>404</html>", "undecodable image"),
        (noisy("JPEG")[:-400], "undecodable image"),
        (noisy("PNG")[:-400], "undecodable image"),
        (noisy("WEBP")[:-400], "undecodable image"),
        (noisy("JPEG")[:30], "undecodable image"),
        (_png_header(30_000, 30_000), "oversized image"),
        (_png_header(30_000, 10), "oversized image"),
        (_png_header(12_000, 12_000), "oversized image"),
        (_animated("GIF"), "animated image"),
        (_animated("PNG"), "animated image"),
        (_animated("WEBP"), "animated image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "undecodable image"),
    ],
)
def test_bad_images_are_refused_with_their_reason(data, reason):
    for read in (decode, verify):
        with pytest.raises(BadSample) as caught:
            read(data)
        assert caught.value.reason == reason


def test_a_phones_two_frame_jpeg_is_its_first_frame():
    out = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "green")]
    frames[0].save(out, "MPO", save_all=True, append_images=frames[1:])
    assert decode(out.getvalue()).size == (16, 16)
    assert verify(out.getvalue()) == "jpg"


# ---------------------------------------------------------------- what the pixels are


def _rgb_of(image: Image.Image, kind: str, **options) -> list[tuple[int, int, int]]:
    """The first row of pixels after a round trip through a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return [tuple(p) for p in np.asarray(decode(out.getvalue()))[0].tolist()]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_pixels_lie_on_white(kind):
    """A clear pixel hides red, a half clear one is half black, an opaque one stays."""
    image = Image.fromarray(np.array([[[255, 0, 0, 0], [0, 0, 0, 128], [10, 20, 30, 255]]], np.uint8))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert _rgb_of(image, kind, **options) == [(255, 255, 255), (127, 127, 127), (10, 20, 30)]


def test_grey_palette_and_key_colour_lie_on_white_too():
    grey = Image.fromarray(np.array([[[0, 0], [40, 255]]], np.uint8), "LA")
    assert _rgb_of(grey, "PNG") == [(255, 255, 255), (40, 40, 40)]
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 10, 20, 30])
    palette.putdata([0, 1])
    for kind in ("PNG", "GIF"):
        assert _rgb_of(palette, kind, transparency=0) == [(255, 255, 255), (10, 20, 30)]
    key = Image.fromarray(np.array([[[255, 0, 0], [10, 20, 30]]], np.uint8))
    assert _rgb_of(key, "PNG", transparency=(255, 0, 0)) == [(255, 255, 255), (10, 20, 30)]
    deep = Image.fromarray(np.array([[7, 65535 // 5]], np.uint16))
    assert _rgb_of(deep, "PNG", transparency=7) == [(255, 255, 255), (51, 51, 51)]


ORIENTED = {  # what a file of [[1, 2, 3], [4, 5, 6]] shows upright, by orientation (CIPA DC-008: where row 0 and column 0 lie)
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
    9: [[1, 2, 3], [4, 5, 6]],  # no such orientation
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", ORIENTED)
def test_every_exif_orientation_is_applied(kind, orientation):
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(np.array([[10, 20, 30], [40, 50, 60]], np.uint8)).convert("RGB").save(out, kind, exif=exif, lossless=True)
    assert (np.asarray(decode(out.getvalue()))[:, :, 0] // 10).tolist() == ORIENTED[orientation]


def test_a_jpegs_orientation_is_applied_and_a_broken_one_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded("JPEG", (8, 6), exif=exif)).size == (6, 8)
    broken = encoded("JPEG", (8, 6), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode(broken).size == (8, 6)
    assert verify(broken) == "jpg"


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (np.array([[0, 257, 2570]], np.uint16), [0, 1, 10]),  # all dark: no maximum decides
        (np.array([[51400, 65535, 60000]], np.uint16), [200, 255, 233]),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_by_their_type(kind, values, seen):
    assert [p[0] for p in _rgb_of(Image.fromarray(values), kind)] == seen


def test_other_deep_tiffs_are_scaled_by_their_type():
    assert [p[0] for p in _rgb_of(Image.fromarray(np.array([[0.0, 0.2, 1.0]], np.float32)), "TIFF")] == [0, 51, 255]
    assert [p[0] for p in _rgb_of(Image.fromarray(np.array([[0, 2**31 // 5 + 1, 2**31 - 1]], np.int32)), "TIFF")] == [0, 51, 255]


@pytest.mark.parametrize("values", [[0.0, 1.5], [-0.1, 0.5], [0.0, float("nan")]])
def test_a_float_image_outside_its_range_is_refused(values):
    out = io.BytesIO()
    Image.fromarray(np.array([values], np.float32)).save(out, "TIFF")
    for read in (decode, verify):
        with pytest.raises(BadSample, match=r"float image outside 0\.\.1 .*scale them to 0\.\.1"):
            read(out.getvalue())


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]), st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 400))
def test_a_damaged_image_either_decodes_or_is_refused(kind, at, byte, cut):
    data = bytearray(noisy(kind, 16))
    data[at % len(data)] = byte
    try:
        seen = decode(bytes(data[: len(data) - cut])).mode
    except BadSample as error:
        seen = error.reason
    assert seen in ("RGB", "empty image", "undecodable image", "oversized image", "animated image", "float image outside 0..1")
