import pytest
import torch

from helip.losses.cyclip import cross_modal_loss, in_modal_loss


def slow_consistencies(image, text):
    """Both double sums over pairs, divided by the batch."""
    n, in_modal, cross_modal = len(image), 0.0, 0.0
    for j in range(n):
        for k in range(n):
            in_modal += (image[j] @ image[k] - text[j] @ text[k]).item() ** 2 / n
            cross_modal += (image[j] @ text[k] - image[k] @ text[j]).item() ** 2 / n
    return in_modal, cross_modal


def test_by_hand():
    # Images e1, e2, e3; texts (1, 0, 0), (0.6, 0.8, 0), (0, 0, 1). Image cosines are the identity; text cosines differ from it by 0.6
    # at (1, 2) and (2, 1): in-modal (0.36 + 0.36) / 3 = 0.24.
    # Image to text cosines [[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1]] differ from their transpose by 0.6 twice: cross-modal 0.24.
    image, text = torch.eye(3), torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    assert in_modal_loss(image, text).item() == pytest.approx(0.24)
    assert cross_modal_loss(image @ text.T).item() == pytest.approx(0.24)


def consistencies(image, text):
    return in_modal_loss(image, text), cross_modal_loss(image @ text.T)


def test_each_is_its_slow_twin(unit):
    image, text = unit(5, seed=1), unit(5, seed=2)
    ours = [one.item() for one in consistencies(image, text)]
    assert ours == pytest.approx(slow_consistencies(image, text), rel=1e-12)


def test_equal_geometry_costs_nothing(unit):
    image = unit(5)
    assert in_modal_loss(image, image).item() == pytest.approx(0, abs=1e-15)
    assert cross_modal_loss(image @ image.T).item() == pytest.approx(0, abs=1e-15)


def test_order_of_the_batch_changes_nothing(unit):
    image, text, order = unit(5, seed=1), unit(5, seed=2), torch.tensor([4, 2, 0, 1, 3])
    moved, whole = ([one.item() for one in consistencies(*both)] for both in ((image[order], text[order]), (image, text)))
    assert moved == pytest.approx(whole, rel=1e-12)


def test_gradient(unit):
    assert torch.autograd.gradcheck(consistencies, (unit(4, seed=1), unit(4, seed=2)))
