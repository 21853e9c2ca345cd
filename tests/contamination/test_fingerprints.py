"""Fingerprints of images as training sees them, and of a corpus on several processes."""

import io
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from archives import encoded, indexed
from PIL import ExifTags, Image

from helip.contamination import FINGERPRINT, near_duplicates
from helip.contamination.fingerprints import BLOCK, fingerprint_corpus, of_bytes
from helip.data.images import TURNS
from helip.errors import HelipError
from helip.evaluation import building


class Deadly:
    """A corpus whose images end whoever reads them."""

    folder, digest = Path("corpus"), "one"

    def __len__(self) -> int:
        return 2 * BLOCK

    def image_bytes(self, i: int) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_reported_instead_of_waited_for(tmp_path):
    with pytest.raises(HelipError, match="fingerprints of corpus: one of 2 worker processes was killed"):
        fingerprint_corpus(Deadly(), tmp_path / "out", workers=2)
    assert not (tmp_path / "out").exists()


def photograph(seed: int = 0, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """A smooth image of random colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(image: Image.Image, orientation: int) -> bytes:
    """A JPEG that its EXIF orientation makes upright."""
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}.get(orientation, TURNS[orientation])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return saved(image.transpose(back), "JPEG", exif=exif)


def matches(one: bytes, other: bytes) -> int:
    return len(near_duplicates(*(np.array([of_bytes(data)], FINGERPRINT) for data in (one, other))).item)


@pytest.mark.parametrize("orientation", TURNS)
def test_an_orientation_is_applied(orientation):
    assert matches(saved(photograph(), "PNG"), turned(photograph().resize((200, 150)), orientation)) == 1


def test_a_held_out_image_matches_its_smaller_copy(tmp_path):
    corpus = indexed(tmp_path, [("0.jpg", turned(photograph(), 6)), ("0.txt", b"a caption")])
    assert matches(building._encoded(corpus, 0), turned(photograph().resize((200, 150)), 6)) == 1


def test_transparent_pixels_are_white():
    flat = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    mask = Image.new("L", (400, 300), 0)
    mask.paste(255, (100, 100, 300, 200))
    flat.paste(photograph().convert("RGBA"), mask=mask)
    on_white = Image.new("RGB", (400, 300), "white")
    on_white.paste(photograph(), mask=mask)
    assert of_bytes(saved(flat, "PNG")) == of_bytes(saved(on_white, "PNG"))


def test_deep_grey_images_are_told_apart():
    deep = [np.asarray(photograph(seed).convert("L"), np.float64) * (55000 / 255) + 5000 for seed in (0, 1)]
    one, other = (saved(Image.fromarray(pixels.astype(np.uint16)), "PNG") for pixels in deep)
    assert matches(one, one) == 1
    assert matches(one, other) == 0


def test_a_large_jpeg_is_decoded_at_a_small_scale(monkeypatch):
    decoded = []
    monkeypatch.setattr("helip.contamination.fingerprints.fingerprint", lambda image: decoded.append(image.size))
    of_bytes(encoded("JPEG", size=(1600, 800)))
    assert decoded == [(200, 100)]
