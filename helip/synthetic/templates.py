"""Objects as masks that rendering scales, turns and colours."""

import functools

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter

from helip.config.base import WorldKind
from helip.synthetic import second_shapes, shapes
from helip.synthetic.canvas import Canvas, odd
from helip.synthetic.world import HABITS

FINE = 2  # drawn at this many times the size, then averaged: smooth edges
_DRAWN = {"first": shapes, "second": second_shapes}


@functools.lru_cache(maxsize=2048)
def template(kind: WorldKind, family: int, part: int, texture: int, size: int) -> Image.Image:
    """Returns an RGB image of `size` pixels a side whose bands are masks: all of the object, its accent colour, its outline."""
    drawn, words, body, extra = _DRAWN[kind], HABITS[kind].words, Canvas(size * FINE), Canvas(size * FINE)
    drawn.body(words.family_names[family], body)
    drawn.part(words.parts[part], extra)
    edge = odd(0.075 * body.size)
    part_mask, body_mask = extra.array(), body.array()
    both = np.maximum(part_mask, body_mask)
    grown = _grown((both * 255).astype(np.uint8), edge)
    seam = _grown(np.asarray(extra.image), edge) - part_mask  # a part stands out from its body
    accent = np.where(part_mask > 0, 1, drawn.texture(words.textures[texture][0], body.image) * body_mask)
    outline = np.maximum(grown - both, np.clip(seam, 0, 1) * body_mask)
    bands = np.stack([grown, accent, outline], -1)
    return Image.fromarray((bands * 255).astype(np.uint8)).resize((size, size), Image.Resampling.BOX)


def _grown(mask: np.ndarray, edge: int) -> np.ndarray:
    grown: np.ndarray = maximum_filter(mask, edge, mode="nearest").astype(np.float32) / 255
    return grown
