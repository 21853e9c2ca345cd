"""Noise on token sequences, drawn from sample seeds: hidden words for masked language, and a second caption view for DeCLIP.

Sequences are as open_clip's tokenizers write them: a start token, words, the end token (the largest id of the row), zeros.
The random numbers are a pure function of a sample's seed: they are the same on any device, in any batch and after any restart.
"""

import torch
from torch import Tensor

from helip.hashing import GOLDEN, mixed, shifted

_HIDE, _HOW, _WORD, _KIND, _DROP, _SWAP = range(6)  # streams of draws


def uniform(seeds_B: Tensor, columns: int, stream: int) -> Tensor:
    """Returns [B, columns] float32 in [0, 1): column c of a seed in a stream is always the same number.

    Streams are for different purposes. The numbers are splitmix64's (Steele, Lea and Flood, 2014).
    """
    column_C = torch.arange(1, columns + 1, device=seeds_B.device)
    return shifted(mixed(mixed(seeds_B * GOLDEN + stream)[:, None] + column_C * GOLDEN), 40).float() / (1 << 24)


def words_of(tokens_BL: Tensor) -> Tensor:
    """Returns where the words are, between start and end, as [B, L] bool."""
    place_L = torch.arange(tokens_BL.shape[1], device=tokens_BL.device)
    return (place_L > 0) & (place_L < tokens_BL.argmax(1, keepdim=True))


def hide_words(tokens_BL: Tensor, seeds_B: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """Applies BERT's masking (arXiv 1810.04805): a share of words is to be guessed; of these 80 % are hidden, 10 % replaced, 10 % left.

    It returns tokens [B, L] with the replacements, where to put the mask [B, L] bool, and where to guess [B, L] bool.
    """
    length = tokens_BL.shape[1]
    guess_BL = words_of(tokens_BL) & (uniform(seeds_B, length, _HIDE) < share)
    how_BL = uniform(seeds_B, length, _HOW)
    start_B1, end_B1 = tokens_BL[:, :1], tokens_BL.amax(1, keepdim=True)
    other_BL = 1 + (uniform(seeds_B, length, _WORD) * (end_B1 - 1)).long()  # any id but padding and end ...
    replace_BL = guess_BL & (how_BL >= 0.8) & (how_BL < 0.9) & (other_BL != start_B1)  # ... nor start
    return torch.where(replace_BL, other_BL, tokens_BL), guess_BL & (how_BL < 0.8), guess_BL


def disturb(tokens_BL: Tensor, seeds_B: Tensor, drop: float = 0.1) -> Tensor:
    """Returns a second view of captions [B, L] by easy data augmentation (arXiv 1901.11196).

    Half of them lose words and half have two words swapped. DeCLIP also replaces synonyms, which needs a thesaurus and is left out.
    """
    lose_B1 = uniform(seeds_B, 1, _KIND) < 0.5
    return torch.where(lose_B1, _dropped(tokens_BL, seeds_B, drop), _swapped(tokens_BL, seeds_B))


def _dropped(tokens_BL: Tensor, seeds_B: Tensor, share: float) -> Tensor:
    """Each word is lost with probability `share`, but a caption keeps the word with the largest draw; the rest closes up."""
    words_BL = words_of(tokens_BL)
    draw_BL = uniform(seeds_B, tokens_BL.shape[1], _DROP).masked_fill(~words_BL, -1)
    lost_BL = words_BL & (draw_BL < share) & (draw_BL < draw_BL.amax(1, keepdim=True))
    return tokens_BL.masked_fill(lost_BL, 0).gather(1, lost_BL.long().argsort(dim=1, stable=True))


def _swapped(tokens_BL: Tensor, seeds_B: Tensor) -> Tensor:
    """Two words, drawn uniformly, in each other's place."""
    words_B1 = words_of(tokens_BL).sum(1, keepdim=True)
    places_B2 = 1 + (uniform(seeds_B, 2, _SWAP) * words_B1).long()  # without words both are place 1: nothing moves
    return tokens_BL.scatter(1, places_B2, tokens_BL.gather(1, places_B2.flip(1)))
