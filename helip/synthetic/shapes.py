"""Silhouettes, parts and textures of the objects, as masks that rendering scales, turns and colours."""

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from helip.synthetic import vocabulary as v

FINE = 2  # drawn at this many times the size, then averaged: smooth edges
Draw = ImageDraw.ImageDraw


class _Canvas:
    """A square mask of [-1, 1] x [-1, 1], y downwards."""

    def __init__(self, size: int):
        self.size = size
        self.image = Image.new("L", (size, size), 0)
        self._draw = ImageDraw.Draw(self.image)

    def _px(self, points):
        return [((x + 1) * self.size / 2, (y + 1) * self.size / 2) for x, y in points]

    def polygon(self, points, fill=255):
        self._draw.polygon(self._px(points), fill=fill)

    def box(self, x0, y0, x1, y1, fill=255):
        self._draw.rectangle(self._px([(x0, y0), (x1, y1)]), fill=fill)

    def ellipse(self, x, y, rx, ry=None, fill=255):
        ry = rx if ry is None else ry
        self._draw.ellipse(self._px([(x - rx, y - ry), (x + rx, y + ry)]), fill=fill)

    def array(self) -> np.ndarray:
        return np.asarray(self.image, np.float32) / 255


def _star(points: int, outer: float, inner: float) -> list[tuple[float, float]]:
    turn = [math.pi * (i / points - 0.5) for i in range(2 * points)]
    return [((inner if i % 2 else outer) * math.cos(t), (inner if i % 2 else outer) * math.sin(t)) for i, t in enumerate(turn)]


def _body(family: str, c: _Canvas) -> None:
    """Bodies stay within 0.68 of the centre: parts need the rest."""
    match family:
        case "bird":  # a crescent
            c.ellipse(0, 0, 0.68)
            c.ellipse(0.42, -0.12, 0.5, fill=0)
        case "fish":  # a lens with a tail fin
            c.ellipse(-0.12, 0, 0.56, 0.38)
            c.polygon([(0.25, 0), (0.7, -0.45), (0.7, 0.45)])
        case "dog":  # a block
            c.box(-0.6, -0.6, 0.6, 0.6)
        case "cat":  # a heart
            c.ellipse(-0.32, -0.25, 0.36)
            c.ellipse(0.32, -0.25, 0.36)
            c.polygon([(-0.65, -0.08), (0.65, -0.08), (0, 0.7)])
        case "flower":  # six petals
            for i in range(6):
                c.ellipse(0.42 * math.cos(i * math.pi / 3), 0.42 * math.sin(i * math.pi / 3), 0.27)
            c.ellipse(0, 0, 0.3)
        case "tree":  # a triangle on a trunk
            c.polygon([(0, -0.72), (0.68, 0.35), (-0.68, 0.35)])
            c.box(-0.16, 0.3, 0.16, 0.7)
        case "fruit":  # a disc
            c.ellipse(0, 0, 0.66)
        case "car":  # a long box with a cabin
            c.box(-0.75, -0.05, 0.75, 0.45)
            c.polygon([(-0.45, -0.05), (-0.25, -0.5), (0.3, -0.5), (0.5, -0.05)])
        case "aircraft":  # a cross
            c.box(-0.22, -0.7, 0.22, 0.7)
            c.box(-0.7, -0.22, 0.7, 0.22)
        case "boat":  # a hull
            c.polygon([(-0.78, -0.2), (0.78, -0.2), (0.45, 0.5), (-0.45, 0.5)])
            c.box(-0.07, -0.65, 0.07, -0.2)
        case "instrument":  # an hourglass
            c.polygon([(-0.6, -0.68), (0.6, -0.68), (0.12, 0), (0.6, 0.68), (-0.6, 0.68), (-0.12, 0)])
        case "insect":  # a five-pointed star
            c.polygon(_star(5, 0.78, 0.34))


def _part(part: str, c: _Canvas) -> None:
    match part:
        case "ears":
            c.ellipse(-0.48, -0.66, 0.27)
            c.ellipse(0.48, -0.66, 0.27)
        case "hat":
            c.box(-0.62, -0.72, 0.62, -0.52)
            c.box(-0.34, -0.97, 0.34, -0.6)
        case "tail":
            c.polygon([(0.3, 0.1), (0.97, -0.35), (0.97, 0.1), (0.45, 0.45)])
        case "feet":
            c.box(-0.55, 0.5, -0.18, 0.97)
            c.box(0.18, 0.5, 0.55, 0.97)
        case "core":
            c.ellipse(0, 0.02, 0.3)
        case "wings":
            c.polygon([(-0.4, 0), (-0.97, -0.42), (-0.97, 0.42)])
            c.polygon([(0.4, 0), (0.97, -0.42), (0.97, 0.42)])


def _texture(texture: str, body: Image.Image) -> np.ndarray:
    """[S, S] in [0, 1]: where the accent colour covers the body."""
    size = body.width
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) * (2 / size) - 1
    match texture:
        case "plain":
            return np.zeros((size, size), np.float32)
        case "striped":
            return (np.floor(y / 0.2) % 2).astype(np.float32)
        case "barred":
            return (np.floor(x / 0.2) % 2).astype(np.float32)
        case "spotted":
            dx, dy = (x + 0.2) % 0.4 - 0.2, (y + 0.2) % 0.4 - 0.2
            return (dx * dx + dy * dy < 0.115**2).astype(np.float32)
        case "checked":
            return ((np.floor(x / 0.3) + np.floor(y / 0.3)) % 2).astype(np.float32)
        case "two-tone":
            return (x > 0).astype(np.float32)
        case "shaded":
            return np.clip(0.5 + y / 1.1, 0, 1)
        case "bordered":
            inner = np.asarray(body.filter(ImageFilter.MinFilter(_odd(0.15 * size))), np.float32) / 255
            return 1 - inner
    raise ValueError(f"there is no texture '{texture}'")


def _odd(width: float) -> int:
    return max(3, int(width) // 2 * 2 + 1)


@functools.lru_cache(maxsize=2048)
def template(family: int, part: int, texture: int, size: int) -> Image.Image:
    """Returns an RGB image of `size` pixels a side whose bands are masks: all of the object, its accent colour, its outline."""
    body, extra = _Canvas(size * FINE), _Canvas(size * FINE)
    _body(v.FAMILY_NAMES[family], body)
    _part(v.PARTS[part], extra)
    edge = _odd(0.075 * body.size)
    part_mask, body_mask = extra.array(), body.array()
    both = np.maximum(part_mask, body_mask)
    grown = np.asarray(Image.fromarray((both * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(edge)), np.float32) / 255
    seam = np.asarray(extra.image.filter(ImageFilter.MaxFilter(edge)), np.float32) / 255 - part_mask  # a part stands out from its body
    accent = np.where(part_mask > 0, 1, _texture(v.TEXTURES[texture][0], body.image) * body_mask)
    outline = np.maximum(grown - both, np.clip(seam, 0, 1) * body_mask)
    bands = np.stack([grown, accent, outline], -1)
    return Image.fromarray((bands * 255).astype(np.uint8)).resize((size, size), Image.Resampling.BOX)
