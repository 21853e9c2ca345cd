import math

import pytest
import torch
from torch.nn.functional import normalize

from helip.losses.cloob import cloob_loss, hopfield_retrieval, info_loob


def slow_retrieval(query, memory, beta):
    rows = []
    for q in query:
        weights = [math.exp(beta * float(q @ k)) for k in memory]
        mixed = sum(w / sum(weights) * k for w, k in zip(weights, memory, strict=True))
        rows.append(mixed / mixed.norm())
    return torch.stack(rows)


def slow_loob(anchor, other, inverse):
    n, total = len(anchor), 0.0
    for i in range(n):
        below = sum(math.exp(inverse * float(anchor[i] @ other[j])) for j in range(n) if j != i)
        total += math.log(below) - inverse * float(anchor[i] @ other[i])
    return total / n / inverse


def test_info_loob_by_hand():
    # Cosines [[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1]], 1/tau 1, positives left out of the sums:
    #   ln(e^0.6 + 1) - 1 = 0.03749;  ln(1 + 1) - 0.8 = -0.10685;  ln(1 + 1) - 1 = -0.30685      mean -0.12541
    image, text = torch.eye(3), torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    assert info_loob(image, text, 1.0).item() == pytest.approx(-0.12541, abs=1e-5)


def test_retrieval_by_hand():
    # Query e1 over memory e1, e2 with beta ln 3: weights 3/4 and 1/4, normalised (3, 1) / sqrt 10
    retrieved = hopfield_retrieval(torch.tensor([[1.0, 0.0]]), torch.eye(2), math.log(3))
    torch.testing.assert_close(retrieved, torch.tensor([[3.0, 1.0]]) / math.sqrt(10))


def test_a_large_beta_retrieves_the_memory_itself(unit):
    memory = unit(5)
    torch.testing.assert_close(hopfield_retrieval(memory, memory, 1e4), memory)


def test_no_beta_retrieves_the_mean(unit):
    memory = unit(5)
    torch.testing.assert_close(hopfield_retrieval(unit(2, seed=3), memory, 0.0), normalize(memory.mean(0, keepdim=True)).expand(2, -1))


def test_is_its_slow_twin(unit):
    image, text = unit(5, seed=1).detach(), unit(5, seed=2).detach()
    u_x, u_y = slow_retrieval(image, image, 8.0), slow_retrieval(text, image, 8.0)
    v_y, v_x = slow_retrieval(text, text, 8.0), slow_retrieval(image, text, 8.0)
    expected = slow_loob(u_x, u_y, 30.0) + slow_loob(v_y, v_x, 30.0)
    assert cloob_loss(image, text).item() == pytest.approx(expected, rel=1e-10)


def test_order_of_the_batch_changes_nothing(unit):
    image, text, order = unit(5, seed=1), unit(5, seed=2), torch.tensor([4, 2, 0, 1, 3])
    assert cloob_loss(image[order], text[order]).item() == pytest.approx(cloob_loss(image, text).item(), rel=1e-10)


def test_gradient(unit):
    loss = lambda i, t: cloob_loss(i, t, inverse_temperature=5.0, hopfield_beta=2.0)  # noqa: E731
    assert torch.autograd.gradcheck(loss, (unit(4, seed=1), unit(4, seed=2)))
