"""A corpus that needs no disk: coloured discs on coloured ground, and captions that recur."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library of models is imported: these tests need no network

import numpy as np
import pytest
from PIL import Image, ImageDraw


class Discs:
    """Stands where helip.data.corpus.Corpus stands."""

    def __init__(self, size: int, captions: int = 7, pixels: tuple[int, int] = (32, 32), digest: str = "discs"):
        self.size, self.distinct, self.pixels, self.digest = size, captions, pixels, digest

    def __len__(self):
        return self.size

    def image(self, i):
        rng = np.random.default_rng(i)
        ground, colour = (tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(2))
        image = Image.new("RGB", self.pixels, ground)
        x, y = (int(v) for v in rng.integers(4, 20, 2))
        ImageDraw.Draw(image).ellipse((x, y, x + 10, y + 10), fill=colour)
        return image

    def caption(self, i):
        return "a disc " + "in front of a wall " * (i % self.distinct)


@pytest.fixture
def discs():
    return Discs


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A self-supervised encoder trained on 96 discs: (declaration, folder)."""
    from helip.config import SelfSupervisedEncoder
    from helip.encoders.simclr_training import train

    declaration = SelfSupervisedEncoder(width=4, dim=8, epochs=2, batch_size=32)
    folder = tmp_path_factory.mktemp("encoders") / "small"
    train(declaration, Discs(96), folder)
    return declaration, folder
