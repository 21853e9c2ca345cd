"""Draws that belong to a sample, and captions with words hidden or disturbed by them."""

import torch
from tiny_objectives import captions

from helip.training.objectives.captions import disturb, hide_words, uniform, words_of


def test_draws_are_uniform_and_belong_to_their_sample():
    seeds = torch.arange(-500, 1500)
    draws = uniform(seeds, 20, stream=3)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = draws.flatten().mul(50).long().bincount(minlength=50).double()
    chi_square = ((counts - 800) ** 2 / 800).sum()
    assert chi_square < 94.6  # 49 degrees of freedom: passed by all but 1 in 10,000 truly uniform samples
    correlation = torch.corrcoef(torch.stack([draws[:, 0], draws[:, 1], draws[:, 0].roll(1), uniform(seeds, 1, stream=4)[:, 0]]))
    # neighbouring columns, seeds and streams: four standard deviations of a correlation of 2,000 independent pairs
    assert (correlation - torch.eye(4)).abs().max() < 4 / 2000**0.5
    assert torch.equal(uniform(seeds[[7, 3]], 20, 3), draws[[7, 3]])
    assert torch.equal(uniform(seeds, 5, 3), draws[:, :5])


def test_hidden_words():
    tokens, seeds = captions(4000), torch.arange(4000)
    replaced, hidden, guess = hide_words(tokens, seeds, 0.15)
    words = words_of(tokens)
    assert not (guess & ~words).any()
    changed = replaced != tokens
    for part, whole, share in ((guess, words, 0.15), (hidden, guess, 0.8)):
        count = int(whole.sum())
        assert abs(int(part.sum()) / count - share) < 4 * (share * (1 - share) / count) ** 0.5  # four standard deviations of a share
    # a tenth is replaced by a word drawn from 1 to 48, which is the old word or the start one time in 24
    share, count = 0.1 * (1 - 2 / 48), int(guess.sum())
    assert abs(int(changed.sum()) / count - share) < 4 * (share * (1 - share) / count) ** 0.5
    assert not (changed & (hidden | ~guess)).any()
    assert torch.equal(words_of(replaced), words)  # no word became padding or an end; ends stayed where they were
    assert not (replaced[:, 1:] == 48).any()
    assert not hide_words(tokens, seeds, 0.0)[2].any()


def test_disturbed_captions():
    tokens = captions(2000)
    seen = disturb(tokens, torch.arange(2000))
    shortened, swapped, equal = 0, 0, 0
    for before, after in zip(tokens.tolist(), seen.tolist(), strict=True):
        end = after.index(49)
        assert after[0] == 48
        assert end >= 2
        assert not any(after[end + 1 :])
        words, others = before[1 : before.index(49)], after[1:end]
        if len(words) == len(others):
            assert sorted(words) == sorted(others)
            assert sum(a != b for a, b in zip(words, others, strict=True)) in (0, 2)
            swapped += words != others
        remaining = iter(words)
        shortened += len(words) > len(others) and all(word in remaining for word in others)  # in order
        equal += words == others
    assert shortened + swapped + equal == 2000
    assert shortened > 300
    assert swapped > 500


def test_captions_without_words_stay_as_they_are():
    tokens = torch.tensor([[48, 49, 0, 0], [48, 5, 49, 0]])
    for seed in range(20):
        assert torch.equal(disturb(tokens, torch.tensor([seed, seed])), tokens)
