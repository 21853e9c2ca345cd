"""The sigmoid loss by hand, term by term, and against open_clip's."""

import math

import pytest
import torch
from open_clip.loss import SigLipLoss
from torch.nn.functional import normalize

from helip.losses.siglip import sigmoid_of


def test_by_hand():
    # Cosines  1  0.6    scale 2, bias -1:  logits  1    0.2     a pair pays ln(1 + exp(-logit)), a stranger ln(1 + exp(logit))
    #          0  0.8                              -1    0.6
    # 0.31326 + 0.79814 + 0.31326 + 0.43749 = 1.86215, over 2 pairs
    image, text = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    assert sigmoid_of(2.0 * image @ text.T - 1.0).item() == pytest.approx(0.93107, abs=1e-5)


def test_a_further_caption_is_a_stranger_to_all():
    logits = torch.tensor([[1.0, 0.2, 3.0], [-1.0, 0.6, -3.0]])
    further = math.log1p(math.exp(3)) + math.log1p(math.exp(-3))
    assert sigmoid_of(logits).item() == pytest.approx(sigmoid_of(logits[:, :2]).item() + further / 2, abs=1e-6)


def test_against_open_clip():
    generator = torch.Generator().manual_seed(0)
    image, text = (normalize(torch.randn(7, 5, generator=generator), dim=1) for _ in range(2))
    theirs = SigLipLoss()(image, text, torch.tensor(10.0), torch.tensor(-10.0))
    assert sigmoid_of(10.0 * image @ text.T - 10.0).item() == pytest.approx(theirs.item(), rel=1e-6)
