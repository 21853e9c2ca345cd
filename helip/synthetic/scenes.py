"""Scenes and pairs by index: (world_seed, seed, index) is all that a pair depends on, whatever the corpus' size or noise."""

from dataclasses import dataclass

import numpy as np

from helip.synthetic.captions import choose_named, describe, true_of
from helip.synthetic.concepts import drawn, generator, grow
from helip.synthetic.render import encode, render

CORPUS, EVALUATION = 1, 2  # the first number of every seed: evaluation scenes are never a corpus's
_SCENE, _MISMATCH = 11, 12


@dataclass(frozen=True)
class Pair:
    """A generated image with its caption, and what the generator knows of both."""

    image: bytes  # PNG
    caption: str
    concept: int
    attributes: np.ndarray  # [11] of the image
    caption_attributes: np.ndarray  # [11] of the scene that the caption was written for
    named: np.ndarray  # [11] bool: attributes that the caption says
    mismatched: bool


def pair(world_seed: int, seed: int, index: int, image_size: int, mismatched: float) -> Pair:
    """Returns pair `index`. With another share of mismatches it keeps its image, and its caption unless that turns wrong or right."""
    rng = generator(CORPUS, world_seed, seed, index, _SCENE)
    concept = int(drawn(rng.random()))
    caption_row = row = grow(world_seed)[concept]
    named = choose_named(rng, row)
    caption = describe(row, named, rng)
    image = encode(render(row, image_size, rng))
    noise = generator(CORPUS, world_seed, seed, index, _MISMATCH)
    wrong = bool(noise.random() < mismatched)
    if wrong:
        caption_row, named = _foreign(world_seed, row, noise)
        caption = describe(caption_row, named, noise)
    return Pair(image, caption, concept, row, caption_row, named, wrong)


def _foreign(world_seed: int, row: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Another scene and what its caption names, not true of this one."""
    while True:
        other = grow(world_seed)[int(drawn(rng.random()))]
        named = choose_named(rng, other)
        if not true_of(other, named, row):
            return other, named
