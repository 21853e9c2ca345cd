"""Augmentation as a pure function of (image, sample seed): random resized crop, flip, colour jitter, grey, blur.

The crop is done per image by PIL on the CPU; colours and normalisation on whole batches on the training device. All random numbers
of a sample are a hash of its seed, drawn for a batch at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import conv2d, pad

from helip.config import Augmentation
from helip.hashing import uniforms

RATIO = (3 / 4, 4 / 3)  # of width to height of a crop, as in torchvision's RandomResizedCrop
CROP_AREA, CROP_RATIO, CROP_X, CROP_Y, FLIP, BRIGHTNESS, CONTRAST, SATURATION, GREY, BLUR, PER_VIEW = range(11)

CAPTION = 1 << 20  # the random number that draws a caption of a sample, beyond those of all views


def caption_draws(sample_seeds_B: np.ndarray) -> np.ndarray:
    """Returns a number in [0, 1) for each sample, float64 [B]: with n captions, int(n * number) is the one that the sample shows."""
    draws_B: np.ndarray = uniforms(sample_seeds_B, 1, CAPTION)[:, 0]
    return draws_B


@dataclass(frozen=True)
class View:
    """A view says how one augmented version of an image is drawn; shares and factors are in [0, 1]."""

    crop_scale: tuple[float, float]
    flip: float = 0.0
    jitter: float = 0.0
    grey: float = 0.0  # share of views without colour
    blur: float = 0.0  # share of views blurred

    @property
    def colours(self) -> bool:
        """This says whether the view changes colours or sharpness, so that `recolour` has anything to do."""
        return bool(self.jitter or self.grey or self.blur)


STRONG = View(crop_scale=(0.08, 1.0), flip=0.5, jitter=0.4, grey=0.2, blur=0.5)  # SimCLR's (arXiv 2002.05709), without hue


def views(wanted: Iterable[Literal["plain", "strong"]], plain: Augmentation) -> tuple[View, ...]:
    """Returns the views that an objective asks for; `plain` is the recipe's own augmentation and `strong` is SimCLR's."""
    own = View(plain.crop_scale, plain.flip)
    return tuple(own if name == "plain" else STRONG for name in wanted)


def crop_box(width: int, height: int, u: np.ndarray, scale: tuple[float, float]) -> tuple[float, float, float, float]:
    """Returns left, upper, right and lower, in pixels, of a crop with a random share of the area, ratio and place.

    `u` holds the random numbers of one view and `scale` the least and largest share of the area. The ratio is log-uniform over what fits
    into the image at that area; an image too long for any gets the largest crop allowed.
    """
    area = width * height * (scale[0] + (scale[1] - scale[0]) * u[CROP_AREA])
    low, high = max(RATIO[0], area / height**2), min(RATIO[1], width**2 / area)
    if low <= high:
        ratio = low * (high / low) ** u[CROP_RATIO]
        w, h = (area * ratio) ** 0.5, (area / ratio) ** 0.5
    else:
        ratio = min(max(width / height, RATIO[0]), RATIO[1])
        w, h = height * ratio, width / ratio
    w, h = min(width, w), min(height, h)
    left, upper = u[CROP_X] * (width - w), u[CROP_Y] * (height - h)
    return left, upper, left + w, upper + h


def crop_and_flip(image: Image.Image, u: np.ndarray, size: tuple[int, int], view: View) -> np.ndarray:
    """Returns one augmented view of an RGB image, [H, W, 3] uint8; `u` are its random numbers and `size` is (H, W)."""
    box = crop_box(image.width, image.height, u, view.crop_scale)
    pixels = np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC, box))
    return pixels[:, ::-1] if u[FLIP] < view.flip else pixels


def recolour(images_B3HW: torch.Tensor, u: torch.Tensor, view: View) -> torch.Tensor:
    """Returns the images, in [0, 1], after jitter, grey and blur; `u` is [B, PER_VIEW].

    Brightness, contrast and saturation are each scaled by a factor uniform in 1 +- jitter.
    """
    brightness, contrast, saturation = (1 + view.jitter * (2 * u[:, c, None, None, None] - 1) for c in (BRIGHTNESS, CONTRAST, SATURATION))
    x = (images_B3HW * brightness).clamp(0, 1)
    x = torch.lerp(luminance(x).mean((1, 2, 3), keepdim=True), x, contrast).clamp(0, 1)
    saturation = torch.where(u[:, GREY, None, None, None] < view.grey, 0.0, saturation)
    x = torch.lerp(luminance(x), x, saturation).clamp(0, 1)
    return torch.where(u[:, BLUR, None, None, None] < view.blur, blurred(x), x) if view.blur else x


def luminance(images_B3HW: torch.Tensor) -> torch.Tensor:
    """Returns the luminance of ITU-R 601, [B, 1, H, W]."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images_B3HW.device, dtype=images_B3HW.dtype)
    return (images_B3HW * weights[:, None, None]).sum(1, keepdim=True)


def blurred(images_B3HW: torch.Tensor) -> torch.Tensor:
    """Returns the images after a Gaussian blur with a standard deviation of 1/200 of the height, at least half a pixel."""
    sigma = max(0.5, images_B3HW.shape[-2] / 200)
    reach = max(1, round(3 * sigma))
    x = torch.arange(-reach, reach + 1, device=images_B3HW.device, dtype=images_B3HW.dtype)
    kernel = torch.softmax(-(x**2) / (2 * sigma**2), 0)
    rows, columns = kernel[None, None, :, None].expand(3, 1, -1, 1), kernel[None, None, None, :].expand(3, 1, 1, -1)
    padded = pad(images_B3HW, (reach,) * 4, mode="reflect")
    return conv2d(conv2d(padded, rows, groups=3), columns, groups=3)
