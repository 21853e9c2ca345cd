import pytest
import torch

from helip.losses import clip_loss
from helip.losses.cyclip import cross_modal_loss, cyclip_loss, in_modal_loss


def slow_cyclip(image, text, in_modal, cross_modal):
    """Both double sums over pairs, divided by the batch."""
    n, total = len(image), 0.0
    for j in range(n):
        for k in range(n):
            total += in_modal * (image[j] @ image[k] - text[j] @ text[k]).item() ** 2 / n
            total += cross_modal * (image[j] @ text[k] - image[k] @ text[j]).item() ** 2 / n
    return total


def test_by_hand():
    # Images e1, e2, e3; texts (1, 0, 0), (0.6, 0.8, 0), (0, 0, 1). Image cosines are the identity; text cosines differ from it by 0.6
    # at (1, 2) and (2, 1): in-modal (0.36 + 0.36) / 3 = 0.24.
    # Image to text cosines [[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1]] differ from their transpose by 0.6 twice: cross-modal 0.24.
    image, text = torch.eye(3), torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    assert in_modal_loss(image, text).item() == pytest.approx(0.24)
    assert cross_modal_loss(image @ text.T).item() == pytest.approx(0.24)


def test_is_clip_plus_its_slow_twin(unit):
    image, text = unit(5, seed=1), unit(5, seed=2)
    expected = clip_loss(image, text, 9.0).item() + slow_cyclip(image, text, 0.25, 0.25)
    assert cyclip_loss(image, text, 9.0).item() == pytest.approx(expected, rel=1e-12)


def test_weights_of_zero_give_clip(unit):
    image, text = unit(5, seed=1), unit(5, seed=2)
    assert cyclip_loss(image, text, 9.0, 0.0, 0.0).item() == pytest.approx(clip_loss(image, text, 9.0).item(), rel=1e-12)


def test_equal_geometry_costs_nothing(unit):
    image = unit(5)
    assert in_modal_loss(image, image).item() == pytest.approx(0, abs=1e-15)
    assert cross_modal_loss(image @ image.T).item() == pytest.approx(0, abs=1e-15)


def test_order_of_the_batch_changes_nothing(unit):
    image, text, order = unit(5, seed=1), unit(5, seed=2), torch.tensor([4, 2, 0, 1, 3])
    assert cyclip_loss(image[order], text[order], 9.0).item() == pytest.approx(cyclip_loss(image, text, 9.0).item(), rel=1e-12)


def test_gradient(unit):
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cyclip_loss, (unit(4, seed=1), unit(4, seed=2), scale))
