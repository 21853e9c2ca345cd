"""Captions compared by their words: by hand, and blind to the first caption, which is what mining looks at."""

import json

import numpy as np
import pytest
from archives import indexed, noisy

from helip.data.wording import Wording
from helip.errors import HelipError


def _corpus(folder, *captions):
    files = [f for i, c in enumerate(captions) for f in ((f"{i}.jpg", noisy(seed=i)), (f"{i}.json", json.dumps({"captions": c}).encode()))]
    return indexed(folder, files, captions="json.captions")


def test_cosines_of_captions_by_hand(tmp_path):
    """Each word is in two of the six captions compared, so all weigh the same: cosines of sets of words."""
    words = Wording(_corpus(tmp_path, ["x", "dog", "a dog"], ["y", "cat", "a cat"], ["z", "boat", "a boat"]))
    np.testing.assert_allclose(words.within(), 1)
    np.testing.assert_allclose(words.between(np.array([0, 0]), np.array([0, 1])), [1, 0], atol=1e-12)


def test_half_of_the_captions_alike_is_a_half(tmp_path):
    """Of the four comparisons of (dog, cat) with (dog, boat) one is of equal captions: 1 / 4. Within an image none is equal."""
    words = Wording(_corpus(tmp_path, ["x", "dog", "cat"], ["y", "dog", "boat"]))
    assert words.between(np.array([0]), np.array([1])) == pytest.approx(0.25)
    np.testing.assert_allclose(words.within(), 0, atol=1e-12)


def test_the_first_caption_is_not_looked_at(tmp_path):
    words = Wording(_corpus(tmp_path, ["boat", "dog", "a dog"], ["boat", "cat", "a cat"]))
    assert words.between(np.array([0]), np.array([1])) == pytest.approx(0)


def test_a_caption_without_words_is_like_none(tmp_path):
    words = Wording(_corpus(tmp_path, ["x", "dog", "the", "a dog"], ["y", "cat", "a cat", "the cat"]))
    np.testing.assert_allclose(words.within(), [1 / 3, 1])


@pytest.mark.parametrize(("captions", "says"), [(["x", "dog"], "an image has 2 captions"), (["x", "the", "of"], "no words to compare")])
def test_what_cannot_be_compared_is_refused(tmp_path, captions, says):
    with pytest.raises(HelipError, match=says):
        Wording(_corpus(tmp_path, captions, captions))
