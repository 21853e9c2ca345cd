"""Silhouettes, parts and textures of the second world's objects."""

import numpy as np
from PIL import Image

from helip.synthetic.canvas import Canvas


def body(family: str, c: Canvas) -> None:
    """Draws a family. Bodies stay within 0.68 of the centre: parts need the rest."""
    match family:
        case "house":  # walls under a roof
            c.box(-0.5, -0.1, 0.5, 0.62)
            c.polygon([(-0.68, -0.1), (0, -0.68), (0.68, -0.1)])
        case "cup":  # a trapezium
            c.polygon([(-0.66, -0.5), (0.66, -0.5), (0.36, 0.6), (-0.36, 0.6)])
        case "lamp":  # a shade on a stem with a foot
            c.polygon([(-0.3, -0.66), (0.3, -0.66), (0.66, 0), (-0.66, 0)])
            c.box(-0.08, 0, 0.08, 0.6)
            c.box(-0.4, 0.5, 0.4, 0.66)
        case "chair":  # a back, a seat, two legs
            c.box(-0.55, -0.66, -0.3, 0.66)
            c.box(-0.55, -0.05, 0.55, 0.2)
            c.box(0.32, 0.2, 0.55, 0.66)
        case "bottle":  # a neck on a tall body
            c.box(-0.14, -0.68, 0.14, -0.2)
            c.ellipse(0, 0.22, 0.42, 0.46)
        case "book":  # a slanted page
            c.polygon([(-0.35, -0.5), (0.68, -0.5), (0.35, 0.5), (-0.68, 0.5)])
        case "clock":  # a ring
            c.ellipse(0, 0, 0.66)
            c.ellipse(0, 0, 0.36, fill=0)
        case "tool":  # a T
            c.box(-0.64, -0.6, 0.64, -0.2)
            c.box(-0.16, -0.2, 0.16, 0.68)
        case "shoe":  # an L with a round toe
            c.box(-0.6, -0.6, -0.1, 0.5)
            c.box(-0.6, 0.05, 0.4, 0.5)
            c.ellipse(0.4, 0.27, 0.27, 0.23)
        case "mushroom":  # half a disc on a stem
            c.ellipse(0, 0, 0.66)
            c.box(-0.7, 0, 0.7, 0.7, fill=0)
            c.box(-0.2, 0, 0.2, 0.66)
        case "jewel":  # a lozenge with a flat top
            c.polygon([(-0.4, -0.5), (0.4, -0.5), (0.68, -0.15), (0, 0.68), (-0.68, -0.15)])
        case "shell":  # two discs, one in the other's side
            c.ellipse(-0.22, 0.1, 0.46)
            c.ellipse(0.36, -0.2, 0.3)


def part(name: str, c: Canvas) -> None:
    """Draws the part that makes a species of a family."""
    match name:
        case "crown":
            for x in (-0.42, 0, 0.42):
                c.polygon([(x - 0.2, -0.58), (x, -0.98), (x + 0.2, -0.58)])
        case "handle":
            c.ellipse(-0.68, 0.05, 0.3, 0.42)
            c.ellipse(-0.68, 0.05, 0.14, 0.24, fill=0)
        case "wheels":
            c.ellipse(-0.4, 0.72, 0.25)
            c.ellipse(0.4, 0.72, 0.25)
        case "badge":
            c.polygon([(0, -0.34), (0.34, 0), (0, 0.34), (-0.34, 0)])
        case "spout":
            c.polygon([(0.35, 0.05), (0.97, -0.62), (0.97, -0.3), (0.5, 0.4)])
        case "band":
            c.box(-0.85, 0.22, 0.85, 0.44)


def texture(name: str, mask: Image.Image) -> np.ndarray:
    """Returns [S, S] in [0, 1]: where the accent colour covers the body, whose mask is given."""
    size = mask.width
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) * (2 / size) - 1
    radius = np.hypot(x, y)
    match name:
        case "smooth":
            return np.zeros((size, size), np.float32)
        case "diagonal":
            return (np.floor((x + y) / 0.26) % 2).astype(np.float32)
        case "ringed":
            return (np.floor(radius / 0.17) % 2).astype(np.float32)
        case "zigzag":
            return (np.floor((y + np.abs((2 * x) % 0.8 - 0.4)) / 0.2) % 2).astype(np.float32)
        case "quartered":
            return ((x > 0) == (y > 0)).astype(np.float32)
        case "half-filled":
            return (y > 0).astype(np.float32)
        case "glowing":
            return np.clip(1 - radius / 0.65, 0, 1)
        case "meshed":
            return ((x % 0.26 < 0.07) | (y % 0.26 < 0.07)).astype(np.float32)
    raise ValueError(f"there is no texture '{name}'")
