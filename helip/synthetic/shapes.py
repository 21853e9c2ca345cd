"""Silhouettes, parts and textures of the first world's objects."""

import math

import numpy as np
from PIL import Image
from scipy.ndimage import minimum_filter

from helip.synthetic.canvas import Canvas, odd, star


def body(family: str, c: Canvas) -> None:
    """Draws a family. Bodies stay within 0.68 of the centre: parts need the rest."""
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
            c.polygon(star(5, 0.78, 0.34))


def part(name: str, c: Canvas) -> None:
    """Draws the part that makes a species of a family."""
    match name:
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


def texture(name: str, mask: Image.Image) -> np.ndarray:
    """Returns [S, S] in [0, 1]: where the accent colour covers the body, whose mask is given."""
    size = mask.width
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) * (2 / size) - 1
    match name:
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
            return 1 - minimum_filter(np.asarray(mask), odd(0.15 * size), mode="nearest").astype(np.float32) / 255
    raise ValueError(f"there is no texture '{name}'")
