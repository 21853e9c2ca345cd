"""Backgrounds: a large picture of each, of which a scene shows a random piece."""

import functools

import numpy as np

from helip.config.base import WorldKind
from helip.synthetic.concepts import generator


@functools.lru_cache(maxsize=32)
def tile(kind: WorldKind, background: int, size: int) -> np.ndarray:
    """Returns float32 [4 size, 4 size, 3]: muted colours, each with its own pattern at the scale of 32 pixels an image."""
    rng, side = generator(7002 if kind == "first" else 7003, background, size), 4 * size
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) * (32 / size)
    base, shade = (_first if kind == "first" else _second)(background, x, y, rng)
    return (np.array(base, np.float32) + np.asarray(shade, np.float32)[..., None]).astype(np.float32)


def _first(background: int, x: np.ndarray, y: np.ndarray, rng: np.random.Generator):
    """Colour [3], and what is added to it [side, side]."""
    rough = rng.standard_normal(x.shape, np.float32)
    slow = 2 * np.sin(0.11 * x + 1.3 * np.sin(0.07 * y)) + 2 * np.cos(0.09 * y + np.sin(0.05 * x))
    match background:
        case 0:  # grass: vertical blades
            return (112, 168, 96), 12 * np.sin(2.4 * x + np.sin(0.9 * y)) + 8 * rough
        case 1:  # sand: fine grain
            return (214, 190, 142), 13 * rough + 3 * slow
        case 2:  # snow
            return (226, 234, 242), 4 * slow + 3 * rough
        case 3:  # water: horizontal waves
            return (112, 166, 196), 15 * np.sin(1.05 * y + 1.5 * np.sin(0.35 * x))
        case 4:  # night: dark with stars
            return (38, 40, 72), 190 * (rng.random(x.shape) > 0.975) + 2 * rough
        case 5:  # bricks and mortar
            row = np.floor(y / 5)
            mortar = (y % 5 < 1) | ((x + 4.5 * (row % 2)) % 9 < 1)
            return (158, 96, 84), 55 * mortar + 5 * rough
        case 6:  # wood: planks with vertical seams
            return (170, 132, 92), 9 * np.sin(0.8 * x + 1.2 * np.sin(0.12 * y)) - 48 * (x % 10 < 1) + 3 * rough
        case _:  # fog: flat grey
            return (172, 172, 176), 7 * slow


def _second(background: int, x: np.ndarray, y: np.ndarray, rng: np.random.Generator):
    """Colour [3], and what is added to it [side, side]."""
    rough = rng.standard_normal(x.shape, np.float32)
    match background:
        case 0:  # forest: trunks among leaves
            return (72, 112, 66), 18 * rough - 40 * ((x + 2 * np.sin(0.3 * y)) % 8 < 2)
        case 1:  # road: asphalt with a broken line
            return (92, 92, 96), 5 * rough + 110 * ((y % 16 < 1.5) & (x % 9 < 5))
        case 2:  # sky with round clouds
            return (150, 186, 226), 46 * (np.sin(0.35 * x) * np.sin(0.28 * y + 0.5 * np.sin(0.2 * x)) > 0.45) + 2 * rough
        case 3:  # carpet: diamonds
            return (136, 72, 84), 24 * ((np.abs(x % 8 - 4) + np.abs(y % 8 - 4)) < 3) + 4 * rough
        case 4:  # sunset: bands that fade
            return (214, 142, 96), 30 * np.sin(0.25 * y) + 2 * rough
        case 5:  # marble: veins
            return (214, 210, 204), 4 * rough - 46 * (np.abs(np.sin(0.16 * x + 2.2 * np.sin(0.11 * y))) < 0.1)
        case 6:  # curtain: folds
            return (104, 64, 122), 26 * np.abs(np.sin(0.55 * x)) + 2 * rough
        case _:  # rain: slanted strokes
            return (118, 130, 142), 36 * ((x + 0.5 * y) % 5 < 0.7) * (rng.random(x.shape) > 0.3) + 3 * rough
