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
