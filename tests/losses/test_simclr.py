import math

import pytest
import torch

from helip.losses.simclr import simclr_loss


def slow_simclr(first, second, temperature):
    """NT-Xent, view by view."""
    views, n, total = [*first, *second], len(first), 0.0
    for a in range(2 * n):
        partner = (a + n) % (2 * n)
        below = sum(math.exp((views[a] @ views[k]).item() / temperature) for k in range(2 * n) if k != a)
        total -= (views[a] @ views[partner]).item() / temperature - math.log(below)
    return total / (2 * n)


def test_by_hand():
    # Views a1 = b1 = (1, 0), a2 = b2 = (0, 1), temperature 1: each view has its partner at cosine 1 and two others at 0, so the loss
    # of each is ln(e + 1 + 1) - 1 = 0.55144
    views = torch.eye(2)
    assert simclr_loss(views, views, temperature=1.0).item() == pytest.approx(0.55144, abs=1e-5)


def test_equal_images_are_no_negatives_by_hand():
    # Three images, the first two of them equal; all views of image i are (1, 0, 0), (1, 0, 0), (0, 1, 0); temperature 1. The views of
    # images 0 and 1 have a partner at cosine 1 and two negatives at 0: ln(e + 2) - 1. Those of image 2 have four at 0: ln(e + 4) - 1.
    views = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    equal = torch.tensor([[False, True, False], [True, False, False], [False, False, False]])
    expected = (2 * math.log(math.e + 2) + math.log(math.e + 4)) / 3 - 1
    assert simclr_loss(views, views, 1.0, equal).item() == pytest.approx(expected, abs=1e-6)
    assert simclr_loss(views, views, 1.0, equal | torch.eye(3, dtype=torch.bool)).item() == pytest.approx(expected, abs=1e-6)


def test_excluding_none_changes_nothing(unit):
    first, second = unit(5, seed=1), unit(5, seed=2)
    assert simclr_loss(first, second, 0.1, torch.zeros(5, 5, dtype=torch.bool)).item() == simclr_loss(first, second, 0.1).item()


def test_is_its_slow_twin(unit):
    first, second = unit(5, seed=1), unit(5, seed=2)
    assert simclr_loss(first, second, 0.1).item() == pytest.approx(slow_simclr(first, second, 0.1), rel=1e-12)


def test_views_and_images_may_change_places(unit):
    first, second, order = unit(5, seed=1), unit(5, seed=2), torch.tensor([4, 2, 0, 1, 3])
    expected = simclr_loss(first, second).item()
    assert simclr_loss(second, first).item() == pytest.approx(expected, rel=1e-12)
    assert simclr_loss(first[order], second[order]).item() == pytest.approx(expected, rel=1e-12)


def test_gradient(unit):
    assert torch.autograd.gradcheck(lambda a, b: simclr_loss(a, b, 0.5), (unit(4, seed=1), unit(4, seed=2)))
