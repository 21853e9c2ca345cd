"""Augmentation as a pure function of (image, sample seed): random resized crop, flip, colour jitter.

The crop is done per image by PIL on the CPU; jitter and normalisation on whole batches on the training device. All random numbers
of a sample are a hash of its seed, drawn for a batch at once.
"""

import numpy as np
import torch
from PIL import Image

from helip.config import Augmentation

RATIO = (3 / 4, 4 / 3)  # of width to height of a crop, as in torchvision's RandomResizedCrop
CROP_AREA, CROP_RATIO, CROP_X, CROP_Y, FLIP, BRIGHTNESS, CONTRAST, SATURATION, PER_VIEW = range(9)


def uniforms(seeds_B: np.ndarray, count: int, first: int = 0) -> np.ndarray:
    """[B, count] numbers in [0, 1): splitmix64 of (seed, first + column)."""
    with np.errstate(over="ignore"):
        columns = (np.arange(first, first + count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = seeds_B.astype(np.uint64)[:, None] + columns
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def crop_box(width: int, height: int, u: np.ndarray, scale: tuple[float, float]) -> tuple[float, float, float, float]:
    """left, upper, right, lower of a crop with a random share of the area, ratio and place; clipped to the image."""
    area = width * height * (scale[0] + (scale[1] - scale[0]) * u[CROP_AREA])
    ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** u[CROP_RATIO]  # log-uniform
    w, h = min(width, (area * ratio) ** 0.5), min(height, (area / ratio) ** 0.5)
    left, upper = u[CROP_X] * (width - w), u[CROP_Y] * (height - h)
    return left, upper, left + w, upper + h


def crop_and_flip(image: Image.Image, u: np.ndarray, size: tuple[int, int], augmentation: Augmentation) -> np.ndarray:
    """[H, W, 3] uint8: one augmented view of an RGB image; u are its random numbers, size is (H, W)."""
    box = crop_box(image.width, image.height, u, augmentation.crop_scale)
    view = np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC, box))
    return view[:, ::-1] if u[FLIP] < augmentation.flip else view


def jitter(images_B3HW: torch.Tensor, u: torch.Tensor, strength: float) -> torch.Tensor:
    """Brightness, contrast and saturation each scaled by a factor uniform in 1 +- strength; images in [0, 1], u [B, PER_VIEW]."""
    brightness, contrast, saturation = (1 + strength * (2 * u[:, c, None, None, None] - 1) for c in (BRIGHTNESS, CONTRAST, SATURATION))
    x = (images_B3HW * brightness).clamp(0, 1)
    grey = luminance(x).mean((1, 2, 3), keepdim=True)
    x = torch.lerp(grey, x, contrast).clamp(0, 1)
    return torch.lerp(luminance(x), x, saturation).clamp(0, 1)


def luminance(images_B3HW: torch.Tensor) -> torch.Tensor:
    """[B, 1, H, W] of ITU-R 601."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images_B3HW.device, dtype=images_B3HW.dtype)
    return (images_B3HW * weights[:, None, None]).sum(1, keepdim=True)
