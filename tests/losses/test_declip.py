import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from helip.losses import clip_loss
from helip.losses.declip import (
    masked_word_losses,
    multi_view_clip_loss,
    nearest_text_loss,
    nearest_texts,
    simsiam_loss,
)


def slow_nearest_loss(images, texts, queue, scale):
    """Image by image: its caption's nearest queue entry against those of all other captions."""
    terms = []
    for image in images:
        for text in texts:
            near = [max(queue, key=lambda q, t=t: (t @ q).item()) for t in text]
            for i in range(len(image)):
                logits = [scale * (image[i] @ n).item() for n in near]
                terms.append(math.log(sum(math.exp(s) for s in logits)) - logits[i])
    return sum(terms) / len(terms)


def test_one_view_of_each_is_clip(unit):
    image, text = unit(5, seed=1), unit(5, seed=2)
    assert multi_view_clip_loss([image], [text], 9.0).item() == pytest.approx(clip_loss(image, text, 9.0).item(), rel=1e-12)


def test_four_terms_are_averaged(unit):
    a, b, s, t = (unit(5, seed=k) for k in range(4))
    terms = [clip_loss(image, text, 9.0).item() for image in (a, b) for text in (s, t)]
    assert multi_view_clip_loss([a, b], [s, t], 9.0).item() == pytest.approx(sum(terms) / 4, rel=1e-12)


def test_nearest_by_hand():
    # Text (1, 0) is nearest to queue entry 1 (cosine 0.8), text (0, 1) to entry 0 (cosine 1)
    queue = torch.tensor([[0.0, 1.0], [0.8, 0.6], [-1.0, 0.0]])
    torch.testing.assert_close(nearest_texts(torch.eye(2), queue), queue[[1, 0]])
    # Image e1 sees neighbours (0.8, 0.6), (0, 1): cosines 0.8, 0: ln(e^0.8 + 1) - 0.8 = 0.37110
    # Image e2 sees cosines 0.6, 1:                           ln(e^0.6 + e) - 1     = 0.51302
    assert nearest_text_loss([torch.eye(2)], [torch.eye(2)], queue, 1.0).item() == pytest.approx((0.37110 + 0.51302) / 2, abs=1e-5)


def test_nearest_is_its_slow_twin(unit):
    images, texts, queue = [unit(4, seed=1), unit(4, seed=2)], [unit(4, seed=3), unit(4, seed=4)], unit(7, seed=5).detach()
    assert nearest_text_loss(images, texts, queue, 6.0).item() == pytest.approx(slow_nearest_loss(images, texts, queue, 6.0), rel=1e-12)


def test_nearest_with_the_captions_as_queue_is_info_nce(unit):
    image, text = unit(5, seed=1), unit(5, seed=2)
    logits = 6.0 * image @ text.T
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(5))
    assert nearest_text_loss([image], [text], text.detach(), 6.0).item() == pytest.approx(expected.item(), rel=1e-12)


def test_an_empty_queue_is_zero_with_a_gradient(unit):
    image = unit(3)
    loss = nearest_text_loss([image], [unit(3, seed=1)], torch.empty(0, 5, dtype=torch.float64), 6.0)
    loss.backward()
    assert loss.item() == 0
    assert not image.grad.any()


def test_nearest_gradient(unit):
    queue, scale = unit(7, seed=5).detach(), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    texts = [unit(4, seed=3).detach()]
    assert torch.autograd.gradcheck(lambda i, s: nearest_text_loss([i], texts, queue, s), (unit(4, seed=1), scale))


def test_simsiam_by_hand():
    # cos((1, 0), (0.6, 0.8)) = 0.6 and cos((0, 2), (3, 4)) = 0.8: -(0.6 + 0.8) / 2; lengths do not matter
    one = lambda *v: torch.tensor([v], dtype=torch.float64)  # noqa: E731
    assert simsiam_loss(one(1, 0), one(3, 4), one(0, 2), one(0.6, 0.8)).item() == pytest.approx(-0.7)


def test_simsiam_holds_projections_still(unit):
    p1, z1, p2, z2 = (unit(4, seed=k) for k in range(4))
    simsiam_loss(p1, z1, p2, z2).backward()
    assert z1.grad is None
    assert z2.grad is None
    assert torch.autograd.gradcheck(lambda a, b: simsiam_loss(a, z1.detach(), b, z2.detach()), (p1, p2))


def test_simsiam_is_at_best_minus_one(unit):
    z = unit(4)
    assert simsiam_loss(z, z, z, z).item() == pytest.approx(-1)


def test_masked_words_by_hand():
    # Uniform logits over 4 words cost ln 4 each; a certain right answer nothing
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1000.0, 0.0, 0.0, 0.0]])
    sums, counts = masked_word_losses(logits, torch.tensor([2, 0]), torch.tensor([[True, True]]))
    assert (sums.item(), counts.item()) == (pytest.approx(math.log(4)), 2)


def test_nothing_masked_costs_nothing():
    logits = torch.zeros(0, 4, requires_grad=True)
    sums, counts = masked_word_losses(logits, torch.empty(0, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.bool))
    sums.sum().backward()
    assert (sums.tolist(), counts.tolist()) == ([0, 0], [0, 0])


def test_masked_words_sample_by_sample():
    # Three samples with 2, 0 and 1 masked words; uniform logits over 4 words cost ln 4 each
    masked = torch.tensor([[True, False, True], [False, False, False], [False, True, False]])
    sums, counts = masked_word_losses(torch.zeros(3, 4), torch.tensor([2, 0, 1]), masked)
    torch.testing.assert_close(sums, math.log(4) * torch.tensor([2.0, 0.0, 1.0]))
    assert counts.tolist() == [2, 0, 1]


def test_masked_words_sample_by_sample_add_up():
    generator = torch.Generator().manual_seed(0)
    masked = torch.rand(6, 5, generator=generator) < 0.4
    logits = torch.randn(int(masked.sum()), 7, generator=generator, dtype=torch.float64, requires_grad=True)
    words = torch.randint(7, (len(logits),), generator=generator)
    sums, counts = masked_word_losses(logits, words, masked)
    assert (sums.sum() / counts.sum()).item() == pytest.approx(cross_entropy(logits, words).item(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: masked_word_losses(x, words, masked)[0], (logits,))
