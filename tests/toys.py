"""A corpus, a pair set and models so small that a training takes a second; importable by the processes the tests start."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from helip.config import Model, Refinement, TrainConfig
from helip.models import loading as models
from helip.training.job import TrainJob

COLOURS = ("red", "green", "blue", "grey", "pink", "teal")


class ToyCorpus:
    """Image i is one colour with noise; its caption names the colour and a number."""

    digest, folder = "toy", "toy"

    def __init__(self, size: int = 120, side: int = 16):
        self.size, self.side = size, side

    def __len__(self) -> int:
        return self.size

    def image(self, i: int) -> Image.Image:
        pixels = np.random.default_rng(i).integers(0, 60, (self.side, self.side, 3)) + 30 * (i % 6)
        return Image.fromarray(pixels.astype(np.uint8))

    def image_bytes(self, i: int) -> bytes:
        file = io.BytesIO()
        self.image(i).save(file, "PNG")
        return file.getvalue()

    def caption(self, i: int) -> str:
        return f"a {COLOURS[i % 6]} square " + "of number " * (i % 3) + str(i)

    def captions(self, i: int) -> list[str]:
        return [self.caption(i)]

    def caption_counts(self) -> np.ndarray:
        return np.ones(self.size, np.int64)


class ToyPairs:
    """H_i is the k pairs after i, but for noise targets."""

    def __init__(self, size: int, k: int = 5, noise=()):
        self.noise = np.zeros(size, bool)
        self.noise[list(noise)] = True
        self.k = k

    def __len__(self) -> int:
        return len(self.noise)

    def hard(self, i: int) -> np.ndarray:
        return np.zeros(0, np.int32) if self.noise[i] else ((i + 1 + np.arange(self.k)) % len(self)).astype(np.int32)


VIT = {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8}
RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 4, "head_width": 32}
TEXT = {"context_length": 16, "width": 16, "heads": 2, "layers": 1}


def declaration(vision: dict = VIT, **text) -> Model:
    return Model(config={"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT | text}, tokenizer="corpus", vocabulary=300)


def recipe(**settings) -> TrainConfig:
    return TrainConfig(**{"steps": 8, "batch_size": 12, "learning_rate": 1e-2, "warmup_steps": 2, "save_every": 3} | settings)


def refinement(**settings) -> Refinement:
    return Refinement(**{"steps": 8, "batch_size": 12, "learning_rate": 1e-2, "warmup_steps": 2, "save_every": 3} | settings)


def job(
    folder: Path, recipe: TrainConfig, corpus: ToyCorpus | None = None, clip: models.Clip | None = None, digest: str = "toy", **more
) -> TrainJob:
    corpus = corpus or ToyCorpus()
    clip = clip or models.new(declaration(), corpus, folder / "tokenizer", seed=0)
    if isinstance(recipe, Refinement):
        more.setdefault("pairs", ToyPairs(len(corpus)))
    return TrainJob(recipe, clip, corpus, 0, digest, folder / "state", folder / "model", **more)
