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


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]), st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 400))
def test_a_damaged_image_either_decodes_or_is_refused(kind, at, byte, cut):
    data = bytearray(noisy(kind, 16))
    data[at % len(data)] = byte
    try:
        seen = decode(bytes(data[: len(data) - cut])).mode
    except BadSample as error:
        seen = error.reason
    assert seen in ("RGB", "empty image", "undecodable image", "oversized image", "animated image")
