"""A mask to draw on."""

import math

import numpy as np
from PIL import Image, ImageDraw


class Canvas:
    """A square mask of [-1, 1] x [-1, 1], y downwards."""

    def __init__(self, size: int):
        self.size = size
        self.image = Image.new("L", (size, size), 0)
        self._draw = ImageDraw.Draw(self.image)

    def _px(self, points):
        return [((x + 1) * self.size / 2, (y + 1) * self.size / 2) for x, y in points]

    def polygon(self, points, fill=255):
        """Fills a polygon of [(x, y), ...]."""
        self._draw.polygon(self._px(points), fill=fill)

    def box(self, x0, y0, x1, y1, fill=255):
        """Fills a rectangle from its upper left to its lower right corner."""
        self._draw.rectangle(self._px([(x0, y0), (x1, y1)]), fill=fill)

    def ellipse(self, x, y, rx, ry=None, fill=255):
        """Fills an ellipse about (x, y), a disc where there is no second radius."""
        ry = rx if ry is None else ry
        self._draw.ellipse(self._px([(x - rx, y - ry), (x + rx, y + ry)]), fill=fill)

    def array(self) -> np.ndarray:
        """Returns the mask as float32 [size, size] in [0, 1]."""
        return np.asarray(self.image, np.float32) / 255


def star(points: int, outer: float, inner: float) -> list[tuple[float, float]]:
    """Returns the corners of a star about the origin."""
    turn = [math.pi * (i / points - 0.5) for i in range(2 * points)]
    return [((inner if i % 2 else outer) * math.cos(t), (inner if i % 2 else outer) * math.sin(t)) for i, t in enumerate(turn)]


def odd(width: float) -> int:
    """Returns the odd number of pixels nearest below a width, at least 3: what a filter takes."""
    return max(3, int(width) // 2 * 2 + 1)
