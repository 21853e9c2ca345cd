import math

import pytest
import torch

from helip.losses import clip_loss
from helip.losses.hn_nce import hn_nce_of


def slow_hn_nce(image, text, scale, alpha, beta):
    """The definition, term by term."""
    n, total = len(image), 0.0
    for rows, columns in ((image, text), (text, image)):
        for i in range(n):
            s = [scale * (rows[i] @ columns[j]).item() for j in range(n)]
            others = [j for j in range(n) if j != i]
            weights = sum(math.exp(beta * s[k]) for k in others)
            below = alpha * math.exp(s[i]) + sum((n - 1) * math.exp(beta * s[j]) / weights * math.exp(s[j]) for j in others)
            total -= math.log(math.exp(s[i]) / below)
    return total / (2 * n)


def test_by_hand():
    # Images e1, e2 and texts (1, 0), (0.6, 0.8): cosines [[1, 0.6], [0, 0.8]]. With two pairs the single negative has weight 1
    # whatever beta is. alpha 2, logit scale 1: image to text
    #   ln(2 e + e^0.6) - 1     = ln 7.25868 - 1   = 0.98220
    #   ln(2 e^0.8 + 1) - 0.8   = ln 5.45108 - 0.8 = 0.89581
    # text to image: ln(2 e + 1) - 1 = 0.86199;  ln(2 e^0.8 + e^0.6) - 0.8 = ln 6.27320 - 0.8 = 1.03629
    image, text = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    expected = (0.98220 + 0.89581 + 0.86199 + 1.03629) / 4
    assert hn_nce_of(image @ text.T, alpha=2.0, beta=0.7).item() == pytest.approx(expected, abs=1e-5)


def test_alpha_1_beta_0_is_info_nce(unit):
    image, text = unit(6, seed=1), unit(6, seed=2)
    ours = hn_nce_of(14.3 * image @ text.T, alpha=1.0, beta=0.0)
    assert ours.item() == pytest.approx(clip_loss(image, text, 14.3).item(), rel=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.25), (0.5, 1.0), (0.0, 0.5)])
def test_is_its_slow_twin(unit, alpha, beta):
    image, text = unit(6, seed=1), unit(6, seed=2)
    assert hn_nce_of(8.0 * image @ text.T, alpha, beta).item() == pytest.approx(slow_hn_nce(image, text, 8.0, alpha, beta), rel=1e-12)


def test_beta_weighs_hard_negatives_up(unit):
    image, text = unit(6, seed=1), unit(6, seed=2)
    values = [hn_nce_of(8.0 * image @ text.T, 1.0, beta).item() for beta in (0.0, 0.25, 1.0, 2.0)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_order_of_the_batch_changes_nothing(unit):
    logits, order = 8.0 * unit(6, seed=1) @ unit(6, seed=2).T, torch.tensor([3, 0, 5, 1, 4, 2])
    assert hn_nce_of(logits[order][:, order], 1.0, 0.25).item() == pytest.approx(hn_nce_of(logits, 1.0, 0.25).item(), rel=1e-12)


def test_survives_a_logit_scale_of_100_in_single_precision(unit):
    same = unit(4).detach().float().requires_grad_()
    loss = hn_nce_of(100.0 * same @ same.T, 1.0, 1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(same.grad).all()


def test_gradient(unit):
    assert torch.autograd.gradcheck(lambda i, t: hn_nce_of(3.0 * i @ t.T, 0.7, 0.5), (unit(4, seed=1), unit(4, seed=2)))
