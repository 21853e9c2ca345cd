"""The twelve evaluation analogues: which classes each has and which scenes show them.

Where the paper's set is about one kind of thing (birds, cars ...), so is its analogue, and its classes differ in what the
kind is good at telling apart. Class words use each value's first word; all else in a scene varies as in the corpora.
"""

import itertools
import zlib
from dataclasses import dataclass

import numpy as np

from helip.errors import HelipError
from helip.synthetic import vocabulary as v
from helip.synthetic.captions import choose_named, describe, true_of
from helip.synthetic.concepts import drawn, generator, grow
from helip.synthetic.render import encode, render
from helip.synthetic.scenes import EVALUATION
from helip.synthetic.world import World

CLASSIFICATION = ("imagenet", "cifar10", "cifar100", "caltech101", "food101", "sun397", "flowers102", "cub", "cars", "aircraft")
CAPTIONS = {"mscoco": (5, 3), "flickr30k": (5, 5)}  # captions per image, attributes each names at least


@dataclass(frozen=True)
class Analogue:
    """A classification set: each class is a partial scene, the values [11] where `says` [11] and free elsewhere."""

    world: World
    values: np.ndarray  # [classes, 11]
    says: np.ndarray  # [classes, 11] bool

    @property
    def class_names(self) -> list[str]:
        """The names of the classes; the templates bring the article of a single object."""
        says = self.says.copy()
        says[:, v.COUNT] &= self.values[:, v.COUNT] > 0
        return [describe(self.world, values, named) for values, named in zip(self.values, says, strict=True)]


def analogue(name: str, world: World) -> Analogue:
    """Returns the classes of one of CLASSIFICATION. Raises HelipError for any other name."""
    kind = world.words.kinds.get(name)
    family = [world.words.family_names.index(kind)] if kind else []
    match name:
        case "imagenet":  # fine-grained concepts
            return _concepts(world, 200)
        case "cifar10":  # ten families
            return _grid(world, {v.FAMILY: range(10)})
        case "cifar100":  # the 72 species
            return _grid(world, {v.FAMILY: range(v.SIZES[v.FAMILY]), v.PART: range(v.SIZES[v.PART])})
        case "caltech101":  # family x texture: 96
            return _grid(world, {v.FAMILY: range(v.SIZES[v.FAMILY]), v.TEXTURE: range(v.SIZES[v.TEXTURE])})
        case "food101":  # species x colour: 60
            return _grid(world, {v.FAMILY: family, v.PART: range(v.SIZES[v.PART]), v.COLOUR: range(v.SIZES[v.COLOUR])})
        case "sun397":  # place x family: 96
            return _grid(world, {v.BACKGROUND: range(v.SIZES[v.BACKGROUND]), v.FAMILY: range(v.SIZES[v.FAMILY])})
        case "flowers102":  # species x texture: 48
            return _grid(world, {v.FAMILY: family, v.PART: range(v.SIZES[v.PART]), v.TEXTURE: range(v.SIZES[v.TEXTURE])})
        case "cub":  # attribute binding: which colour is the body's and which the markings': 90
            return _grid(world, {v.FAMILY: family, v.COLOUR: range(v.SIZES[v.COLOUR]), v.ACCENT: range(v.SIZES[v.ACCENT])})
        case "cars":  # texture x colour: 80
            return _grid(world, {v.FAMILY: family, v.TEXTURE: range(v.SIZES[v.TEXTURE]), v.COLOUR: range(v.SIZES[v.COLOUR])})
        case "aircraft":  # species within one family, and place: 48
            return _grid(world, {v.FAMILY: family, v.PART: range(v.SIZES[v.PART]), v.BACKGROUND: range(v.SIZES[v.BACKGROUND])})
    known = ", ".join((*CLASSIFICATION, *CAPTIONS))
    raise HelipError(f"evaluation -> {name}: the generated world has no analogue of that name; it has {known}")


def _grid(world: World, choices: dict[int, range | list[int]]) -> Analogue:
    rows = [c for c in itertools.product(*choices.values()) if not _clashes(dict(zip(choices, c, strict=True)))]
    values, says = np.zeros((len(rows), len(v.ATTRIBUTES)), np.int8), np.zeros((len(rows), len(v.ATTRIBUTES)), bool)
    for attribute, column in zip(choices, zip(*rows, strict=True), strict=True):
        values[:, attribute], says[:, attribute] = column, True
    return Analogue(world, values, says)


def _clashes(values: dict[int, int]) -> bool:
    return v.COLOUR in values and values[v.COLOUR] == values.get(v.ACCENT)


def _concepts(world: World, classes: int) -> Analogue:
    """Concepts of all frequencies; one that only adds a second object to another is left out, as it would fit both names."""
    concepts = np.empty((0, len(v.ATTRIBUTES)), np.int8)
    for row in grow(world)[generator(EVALUATION, world.seed, 301).permutation(world.concepts)]:
        if not (true_of(row, row != v.ABSENT, concepts) | true_of(concepts, concepts != v.ABSENT, row)).any():
            concepts = np.concatenate([concepts, row[None]])
        if len(concepts) == classes:
            break
    return Analogue(world, concepts, concepts != v.ABSENT)


def show(one: Analogue, label: int, rng: np.random.Generator) -> np.ndarray:
    """Returns [11] a scene of that class: a concept of the world with the class's values put in."""
    world, says, values = one.world, one.says[label], one.values[label]
    row = grow(world)[int(drawn(world, rng.random()))].copy()
    row[says] = values[says]
    if says[v.FAMILY] and not says[v.SECOND_FAMILY] and says.sum() > len(v.ATTRIBUTES) // 2:
        row[v.SECOND_FAMILY :] = v.ABSENT  # a class that says all there is has no second object
    while row[v.ACCENT] == row[v.COLOUR]:
        row[v.ACCENT if not says[v.ACCENT] else v.COLOUR] = rng.integers(v.SIZES[v.ACCENT])
    while row[v.RELATION] != v.ABSENT and row[v.SECOND_FAMILY] == row[v.FAMILY]:
        row[v.SECOND_FAMILY] = rng.integers(v.SIZES[v.SECOND_FAMILY])
    while row[v.RELATION] != v.ABSENT and row[v.SECOND_COLOUR] == row[v.COLOUR]:
        row[v.SECOND_COLOUR] = rng.integers(v.SIZES[v.SECOND_COLOUR])
    return row


def labelled(name: str, world: World, seed: int, split: str, items: int, image_size: int):
    """Yields (PNG bytes, class) of each item; classes take turns, so that all have as many items."""
    one = analogue(name, world)
    for i in range(items):
        rng = generator(EVALUATION, world.seed, seed, zlib.crc32(f"{name}/{split}".encode()), i)
        label = i % len(one.values)
        yield encode(render(world, show(one, label, rng), image_size, rng)), label


def captioned(name: str, world: World, seed: int, items: int, image_size: int):
    """Yields (PNG bytes, captions) of each item, each of another concept while there are enough of them."""
    captions, least = CAPTIONS[name]
    tag = zlib.crc32(name.encode())
    order = generator(EVALUATION, world.seed, seed, tag).permutation(world.concepts)
    for i in range(items):
        rng = generator(EVALUATION, world.seed, seed, tag, i)
        row = grow(world)[order[i % world.concepts]]
        texts = [describe(world, row, choose_named(world, rng, row, least), rng) for _ in range(captions)]
        yield encode(render(world, row, image_size, rng)), texts
