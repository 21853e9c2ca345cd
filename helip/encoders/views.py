"""SimCLR's random views (arXiv 2002.05709, appendix A; CIFAR settings of B.9: no blur, colour strength 0.5), a whole batch at a time."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

CROP_AREA, CROP_RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
BRIGHTNESS = CONTRAST = SATURATION = 0.4
HUE = 0.1  # of a full turn
JITTERED, GREYED, FLIPPED = 0.8, 0.2, 0.5  # shares of the views
LUMA = torch.tensor([0.299, 0.587, 0.114])
RGB_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def random_view(images_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Takes uint8 images [B, 3, S, S] and returns one random view of each, float32 with values between -1 and 1, or little beyond."""
    view_BCHW = _crop_and_flip(images_BCHW.float().div_(127.5).sub_(1), generator)
    return _recolour(view_BCHW, generator)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator) * (high - low) + low


def _crop_and_flip(images_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """A random resized crop as one affine sampling of the batch; [-1, 1] spans the image, so a crop's half-width is its scale."""
    n = len(images_BCHW)
    area = _uniform(n, *CROP_AREA, generator)
    ratio = torch.exp(_uniform(n, math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1]), generator))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    mirror = torch.where(torch.rand(n, generator=generator) < FLIPPED, -1.0, 1.0)
    theta_B23 = torch.zeros(n, 2, 3)
    theta_B23[:, 0, 0], theta_B23[:, 1, 1] = width * mirror, height
    theta_B23[:, 0, 2] = (1 - width) * _uniform(n, -1, 1, generator)
    theta_B23[:, 1, 2] = (1 - height) * _uniform(n, -1, 1, generator)
    grid = affine_grid(theta_B23, list(images_BCHW.shape), align_corners=False)
    return grid_sample(images_BCHW, grid, padding_mode="border", align_corners=False)


def _recolour(view_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Saturation, hue and grey are linear in RGB and keep greys: one 3 x 3 matrix for each view. Contrast stretches about the view's mean.
    Brightness multiplies from black on, which is -1 here.
    """
    n = len(view_BCHW)
    jittered = torch.rand(n, generator=generator) < JITTERED
    grey = torch.rand(n, generator=generator) < GREYED
    brightness = torch.where(jittered, _uniform(n, 1 - BRIGHTNESS, 1 + BRIGHTNESS, generator), 1.0)
    contrast = torch.where(jittered, _uniform(n, 1 - CONTRAST, 1 + CONTRAST, generator), 1.0)
    saturation = torch.where(jittered, _uniform(n, 1 - SATURATION, 1 + SATURATION, generator), 1.0)
    saturation = torch.where(grey, 0.0, saturation)
    angle = torch.where(jittered, _uniform(n, -HUE, HUE, generator), 0.0) * 2 * math.pi
    to_luma_33 = LUMA.expand(3, 3)
    matrix_B33 = saturation[:, None, None] * _turn_hue(angle) + (1 - saturation)[:, None, None] * to_luma_33
    matrix_B33 = matrix_B33 * (brightness * contrast)[:, None, None]
    pixels_BCP = view_BCHW.flatten(2)
    recoloured_BCP = torch.bmm(matrix_B33, pixels_BCP)
    luma_mean_B11 = (LUMA @ pixels_BCP).mean(-1)[:, None, None] * brightness[:, None, None]
    from_black_B11 = (brightness - 1)[:, None, None]
    return (recoloured_BCP + (1 - contrast)[:, None, None] * luma_mean_B11 + from_black_B11).view_as(view_BCHW)


def _turn_hue(angle_B: Tensor) -> Tensor:
    """Rotations of the chrominance plane of YIQ, written in RGB: [B, 3, 3]."""
    turn_B33 = torch.zeros(len(angle_B), 3, 3)
    turn_B33[:, 0, 0] = 1
    turn_B33[:, 1, 1] = turn_B33[:, 2, 2] = angle_B.cos()
    turn_B33[:, 1, 2], turn_B33[:, 2, 1] = -angle_B.sin(), angle_B.sin()
    return torch.linalg.inv(RGB_TO_YIQ) @ turn_B33 @ RGB_TO_YIQ
