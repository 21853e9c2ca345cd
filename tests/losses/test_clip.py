import math

import open_clip
import pytest
import torch

from helip.losses import clip_loss
from helip.losses.clip import info_nce


def slow_clip(image, text, scale):
    """The definition, term by term."""
    total = 0.0
    for rows, columns in ((image, text), (text, image)):
        for i in range(len(rows)):
            logits = [scale * (rows[i] @ columns[j]).item() for j in range(len(columns))]
            total += math.log(sum(math.exp(s) for s in logits)) - logits[i]
    return total / (2 * len(image))


def test_by_hand():
    # Images e1, e2, e3 and these texts give the cosines   1    0.6  0
    #                                                      0    0.8  0
    #                                                      0    0    1
    image = torch.eye(3)
    text = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    # With e = 2.71828, e^0.6 = 1.82212, e^0.8 = 2.22554 and logit scale 1, image to text:
    #   ln(e + 1.82212 + 1) - 1   = 0.71207
    #   ln(1 + 2.22554 + 1) - 0.8 = 0.64115
    #   ln(1 + 1 + e) - 1         = 0.55144      mean 0.63489
    # text to image (columns): 0.55144, ln(1.82212 + 2.22554 + 1) - 0.8 = 0.81892, 0.55144      mean 0.64060
    assert clip_loss(image, text, 1.0).item() == pytest.approx(0.63774, abs=1e-5)


def test_further_captions_by_hand():
    # The cosines above, and two captions of no image: e1 again, and one that is (0, 0.6, 0.8). Logit scale 1:
    #   1  0.6  0  1  0          ln(e + 1.82212 + 1 + e + 1) - 1         = 1.22556
    #   0  0.8  0  0  0.6        ln(1 + 2.22554 + 1 + 1 + 1.82212) - 0.8 = 1.15270
    #   0  0    1  0  0.8        ln(1 + 1 + e + 1 + 2.22554) - 1         = 1.07239      mean 1.15022
    # Text to image stays 0.64060: the further captions are nobody's to find.
    image = torch.eye(3)
    text = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
    assert clip_loss(image, text, 1.0).item() == pytest.approx((1.15022 + 0.64060) / 2, abs=1e-5)


def test_a_rows_own_column_is_never_left_out():
    # Row 0 leaves out column 2, row 1 leaves out all: ln(e + e^0.6) - 1 = 0.51302;  0;  ln(1 + 1 + e) - 1 = 0.55144
    logits = torch.tensor([[1.0, 0.6, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 1.0]])
    excluded = torch.tensor([[True, False, True], [True, True, True], [False, False, False]])
    assert info_nce(logits, excluded).item() == pytest.approx((0.51302 + 0.55144) / 3, abs=1e-5)


def test_equal_features_cost_the_logarithm_of_the_batch():
    same = torch.ones(7, 4) / 2
    assert clip_loss(same, same, 100.0).item() == pytest.approx(math.log(7), rel=1e-6)


def test_is_its_slow_twin(unit):
    image, text = unit(6, seed=1), unit(6, seed=2)
    assert clip_loss(image, text, 14.3).item() == pytest.approx(slow_clip(image, text, 14.3), rel=1e-12)


def test_is_open_clips_loss(unit):
    image, text = unit(6, seed=1), unit(6, seed=2)
    theirs = open_clip.ClipLoss()(image, text, 14.3)
    assert clip_loss(image, text, 14.3).item() == pytest.approx(theirs.item(), rel=1e-12)


def test_order_of_the_batch_changes_nothing(unit):
    image, text = unit(6, seed=1), unit(6, seed=2)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert clip_loss(image[order], text[order], 10.0).item() == pytest.approx(clip_loss(image, text, 10.0).item(), rel=1e-12)


def test_gradient(unit):
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(clip_loss, (unit(4, seed=1), unit(4, seed=2), scale))


def test_a_wrong_pairing_costs_more(unit):
    image = unit(5)
    assert clip_loss(image, image, 10.0) < clip_loss(image, image.roll(1, 0), 10.0)
