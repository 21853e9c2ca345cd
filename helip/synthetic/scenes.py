"""Scenes and pairs by index: (world, seed, index) is all that a pair depends on, whatever the corpus' size or noise."""

from dataclasses import dataclass

import numpy as np

from helip.synthetic.captions import choose_named, describe, true_of
from helip.synthetic.concepts import changed, drawn, generator, grow
from helip.synthetic.render import encode, render
from helip.synthetic.world import World

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


def pair(world: World, seed: int, index: int, image_size: int, mismatched: float, near: float = 0.0) -> Pair:
    """Returns pair `index`. With another share of mismatches it keeps its image, and its caption unless that turns wrong or right.

    `near` is the share of the wrong captions that are of a scene one or two attributes apart; the others are of any other scene.
    """
    rng = generator(CORPUS, world.seed, seed, index, _SCENE)
    concept = int(drawn(world, rng.random()))
    caption_row = row = grow(world)[concept]
    named = choose_named(world, rng, row)
    caption = describe(world, row, named, rng)
    image = encode(render(world, row, image_size, rng))
    noise = generator(CORPUS, world.seed, seed, index, _MISMATCH)
    wrong = bool(noise.random() < mismatched)
    if wrong:
        hard = bool(near) and bool(noise.random() < near)  # no number is drawn where none is near: those corpora stay as they were
        caption_row, named = (_near if hard else _foreign)(world, row, noise)
        caption = describe(world, caption_row, named, noise)
    return Pair(image, caption, concept, row, caption_row, named, wrong)


def _foreign(world: World, row: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Another scene and what its caption names, not true of this one."""
    while True:
        other = grow(world)[int(drawn(world, rng.random()))]
        named = choose_named(world, rng, other)
        if not true_of(other, named, row):
            return other, named


def _near(world: World, row: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A scene one or two changes away and what its caption names, not true of this one."""
    while True:
        other = row.tolist()
        for _ in range(int(rng.integers(1, 3))):
            other = changed(world.habits, rng, other)
        near = np.array(other, np.int8)
        named = choose_named(world, rng, near)
        if not true_of(near, named, row):
            return near, named
