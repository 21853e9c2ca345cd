"""The random views of SimCLR: what they must keep, and what they may change."""

import pytest
import torch

from helip.encoders import views


@pytest.fixture
def images():
    return torch.randint(0, 256, (16, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def still(monkeypatch):
    """No crop, no flip, no colour: every view is its image."""
    for name, value in {"CROP_AREA": (1.0, 1.0), "CROP_RATIO": (1.0, 1.0), "FLIPPED": 0.0, "JITTERED": 0.0, "GREYED": 0.0}.items():
        monkeypatch.setattr(views, name, value)


def view(images, seed=0):
    return views.random_view(images, torch.Generator().manual_seed(seed))


def test_with_nothing_to_change_a_view_is_the_image(images, still):
    torch.testing.assert_close(view(images), images.float() / 127.5 - 1, atol=1e-4, rtol=0)


def test_a_flipped_view_is_the_mirrored_image(images, still, monkeypatch):
    monkeypatch.setattr(views, "FLIPPED", 1.1)
    torch.testing.assert_close(view(images), images.flip(3).float() / 127.5 - 1, atol=1e-4, rtol=0)


def test_a_grey_view_has_three_equal_channels_of_the_luma(images, still, monkeypatch):
    monkeypatch.setattr(views, "GREYED", 1.1)
    luma = (views.LUMA[:, None, None] * (images.float() / 127.5 - 1)).sum(1)
    for channel in range(3):
        torch.testing.assert_close(view(images)[:, channel], luma, atol=1e-4, rtol=0)


def test_a_crop_holds_only_colours_of_its_image(still, monkeypatch):
    monkeypatch.setattr(views, "CROP_AREA", (0.2, 0.5))
    constant = torch.tensor([10, 120, 250], dtype=torch.uint8)[None, :, None, None].expand(4, 3, 16, 16)
    torch.testing.assert_close(view(constant), constant.float() / 127.5 - 1, atol=1e-4, rtol=0)


def test_a_small_crop_enlarges(images, still, monkeypatch):
    """An image that is black on its left half and white on its right: half of it seen is still black or white, mostly."""
    half = torch.zeros(64, 3, 16, 16, dtype=torch.uint8)
    half[..., 8:] = 255
    monkeypatch.setattr(views, "CROP_AREA", (0.05, 0.1))
    whole = (view(half).flatten(1).std(1) < 0.01).float().mean()
    assert whole > 0.4  # a crop a quarter wide misses the edge in about two thirds of the places


@pytest.mark.parametrize("value", [0, 51, 128, 204, 255])
def test_brightness_multiplies_from_black_on(still, monkeypatch, value):
    for name, change in {"JITTERED": 1.1, "CONTRAST": 0.0, "SATURATION": 0.0, "HUE": 0.0}.items():
        monkeypatch.setattr(views, name, change)
    constant = torch.full((64, 3, 8, 8), value, dtype=torch.uint8)
    seen = (view(constant) + 1) / 2
    assert seen.flatten(1).std(1).max() < 1e-3
    factor = seen.mean((1, 2, 3)) / (value / 255) if value else 1 + seen.mean((1, 2, 3))
    assert factor.min() > 0.6 - 1e-3 and factor.max() < 1.4 + 1e-3
    assert factor.std() > 0.15 if value else factor.sub(1).abs().max() < 1e-3


def test_a_jittered_view_is_the_steps_one_by_one(images, still, monkeypatch):
    """Brightness, saturation, hue and contrast on pixels in [0, 1], as appendix A has them."""
    monkeypatch.setattr(views, "JITTERED", 1.1)
    generator = torch.Generator().manual_seed(0)
    for low, high in (views.CROP_AREA, (1, 1), (0, 1), (-1, 1), (-1, 1)):
        views._uniform(16, low, high, generator)  # of crop and flip
    torch.rand(16, generator=generator), torch.rand(16, generator=generator)
    b, c, s = (views._uniform(16, 0.6, 1.4, generator)[:, None, None, None] for _ in range(3))
    turn = views._turn_hue(views._uniform(16, -views.HUE, views.HUE, generator) * 2 * torch.pi)
    luma = lambda x: (views.LUMA[:, None, None] * x).sum(1, keepdim=True)  # noqa: E731
    x = b * images.float() / 255
    x = s * torch.einsum("bij,bjhw->bihw", turn, x) + (1 - s) * luma(x)
    x = c * x + (1 - c) * luma(b * images.float() / 255).mean((2, 3), keepdim=True)
    torch.testing.assert_close((view(images) + 1) / 2, x, atol=2e-3, rtol=0)


def test_turning_the_hue_keeps_greys_and_luma():
    matrix = views._turn_hue(torch.tensor([0.3, -0.6]))
    grey = torch.ones(3)
    torch.testing.assert_close(matrix @ grey, torch.ones(2, 3), atol=2e-3, rtol=0)
    torch.testing.assert_close(views.LUMA @ matrix, views.LUMA.expand(2, 3), atol=2e-3, rtol=0)
    torch.testing.assert_close(views._turn_hue(torch.zeros(1))[0], torch.eye(3), atol=1e-6, rtol=0)


def test_views_follow_from_the_seed(images):
    assert torch.equal(view(images, 3), view(images, 3))
    assert not torch.equal(view(images, 3), view(images, 4))
    assert view(images).shape == images.shape
    assert view(images).isfinite().all()
