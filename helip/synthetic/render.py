"""A scene's pixels: background, then objects, with pose, light and noise drawn from the scene's own generator."""

import functools
import io
import math

import numpy as np
from PIL import Image

from helip.config.base import WorldKind
from helip.synthetic import grounds
from helip.synthetic import vocabulary as v
from helip.synthetic.concepts import generator
from helip.synthetic.templates import template
from helip.synthetic.world import HABITS, World

PLAIN = 0
# Units: half the image's side. (x, y, radius) of the main objects by their count, alone and beside a second object. A body fills
# 0.68 of its radius: alone it is 20 of 32 pixels across, 26 with its part.
_ALONE = (((0, 0, 0.92),), ((-0.42, -0.22, 0.62), (0.42, 0.22, 0.62)), ((-0.46, 0.42, 0.52), (0.46, 0.42, 0.52), (0, -0.44, 0.52)))
_WITH = (((0, 0, 0.7),), ((-0.32, 0, 0.5), (0.32, 0, 0.5)), ((-0.34, 0.32, 0.42), (0.34, 0.32, 0.42), (0, -0.32, 0.42)))
_BESIDE = ((0, 1), (0, -1), (-1, 0), (1, 0))  # main above, below, left of, right of the second: where the second lies


def render(world: World, row: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the image [size, size, 3] uint8 of a scene's attributes [11]."""
    pixels = _ground(world.kind, int(row[v.BACKGROUND]), size, rng)
    light = 1 + 0.16 * (rng.random(4, np.float32) - 0.5)
    for family, part, texture, colour, accent, x, y, radius in _objects(row, rng):
        shape = _posed(template(world.kind, family, part, texture, _fine(size)), size, x, y, radius, (rng.random() - 0.5) * 0.5)
        pixels = _painted(pixels, shape, _paints(world.kind, colour, accent))
    pixels = pixels * (light[:3] * light[3]) + _noise(size, rng)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def encode(pixels: np.ndarray) -> bytes:
    """Returns the pixels as an uncompressed PNG: twice as fast to write and to read, and the same bytes whatever the zlib."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=0)
    return out.getvalue()


def _fine(size: int) -> int:
    return 3 * size // 2


def _objects(row: np.ndarray, rng: np.random.Generator):
    """(family, part, texture, colour, accent, x, y, radius), those behind first."""
    values, count = row.tolist(), int(row[v.COUNT])
    second = values[v.RELATION] != v.ABSENT
    jitter = (rng.random((4, 3)) - 0.5).tolist()
    shift_x = shift_y = 0.0
    if second:
        dx, dy = _BESIDE[values[v.RELATION]]
        shift_x, shift_y = -0.32 * dx, -0.32 * dy
        jx, jy, jr = jitter[3]
        x, y, radius = 0.57 * dx + 0.1 * jx, 0.57 * dy + 0.1 * jy, 0.46 + 0.04 * jr
        family, part, colour = (values[a] for a in (v.SECOND_FAMILY, v.SECOND_PART, v.SECOND_COLOUR))
        yield family, part, PLAIN, colour, colour, x, y, radius
    main = [values[a] for a in (v.FAMILY, v.PART, v.TEXTURE, v.COLOUR, v.ACCENT)]
    for (x, y, radius), (jx, jy, jr) in zip((_WITH if second else _ALONE)[count], jitter, strict=False):
        free = 0.3 * (1 - radius)
        yield *main, x + shift_x + free * jx, y + shift_y + free * jy, radius * (1 + 0.1 * jr)


def _posed(shape: Image.Image, size: int, x: float, y: float, radius: float, turn: float) -> np.ndarray:
    """[size, size, 3] in [0, 1]: the template's masks, scaled to `radius`, turned and moved to (x, y)."""
    scale = shape.width / (size * radius)  # template pixels per image pixel
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    cx, cy, middle = (x + 1) * size / 2, (y + 1) * size / 2, shape.width / 2
    matrix = (cos, sin, middle - cos * cx - sin * cy, -sin, cos, middle + sin * cx - cos * cy)
    posed = shape.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(posed, np.float32) * np.float32(1 / 255)


@functools.cache
def _paints(kind: WorldKind, colour: int, accent: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    main, second = (np.array(HABITS[kind].words.rgb[c], np.float32) for c in (colour, accent))
    dark = np.array((18, 18, 22), np.float32)
    outline = np.array((205, 205, 205), np.float32) if main.sum() < 240 else dark
    return main, second - main, outline


def _painted(under: np.ndarray, shape: np.ndarray, paints: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    main, difference, outline = paints
    inside = main + shape[..., 1:2] * difference
    inside += shape[..., 2:3] * (outline - inside)
    return under + shape[..., :1] * (inside - under)


def _noise(size: int, rng: np.random.Generator) -> np.ndarray:
    tile = _noise_tile(size)
    a, b = rng.integers(0, len(tile) - size, 2)
    return tile[a : a + size, b : b + size]


@functools.lru_cache(maxsize=4)
def _noise_tile(size: int) -> np.ndarray:
    return generator(7001, size).standard_normal((8 * size, 8 * size, 3), np.float32) * 5


def _ground(kind: WorldKind, background: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """[size, size, 3] float32: a random piece of the background's large picture."""
    tile = grounds.tile(kind, background, size)
    a, b = rng.integers(0, len(tile) - size, 2)
    return tile[a : a + size, b : b + size]
