"""The pre-flight: what would waste a GPU is said before it starts."""

from types import SimpleNamespace

import numpy as np
import pytest
from archives import indexed, noisy, pairs
from PIL import Image

from helip.data import preflight as preflight_module
from helip.data.preflight import preflight
from helip.errors import HelipError


def words(captions, context=8):
    """A tokenizer by hand: 1, one id per word, 2, padded with 0."""
    rows = np.zeros((len(captions), context), np.int64)
    for row, caption in zip(rows, captions, strict=True):
        ids = [1, *(3 + len(w) for w in caption.split()), 2][:context]
        row[: len(ids)] = ids
    return rows


def test_a_good_corpus_is_described(tmp_path):
    seen = preflight(indexed(tmp_path, pairs(5)), words, vocabulary=50, first=4)
    assert (seen.samples, seen.distinct_captions, seen.distinct_images, seen.median_side) == (4, 4, 4, 64)
    assert (seen.median_tokens, seen.most_tokens, seen.context_length, seen.full_share) == (4.0, 4, 8, 0.0)  # start, caption, number, end
    assert seen.warnings == []


def test_it_takes_bounded_time_and_reads_nothing_twice(tmp_path, monkeypatch):
    corpus, read, clock = indexed(tmp_path, pairs(9)), [], iter(range(0, 100, 10))
    monkeypatch.setattr(preflight_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))  # ten seconds an image
    image_bytes = corpus.image_bytes
    monkeypatch.setattr(corpus, "image_bytes", lambda i: read.append(i) or image_bytes(i))
    seen = preflight(corpus, lambda c: words(c, 4), first=6)
    assert read == [0, 1, 2]
    assert (seen.samples, seen.distinct_captions, seen.distinct_images) == (3, 3, 3)
    assert seen.warnings[0] == "3 of the first 6 samples were looked at: no more could be decoded in 30 s"
    assert "100% of the first 3 captions fill the context" in seen.warnings[1]


def test_without_a_tokenizer_only_captions_and_images_count(tmp_path):
    assert preflight(indexed(tmp_path, pairs(2))).median_tokens is None


def test_cut_captions_are_a_warning(tmp_path):
    seen = preflight(indexed(tmp_path, pairs(4)), lambda c: words(c, 4))
    assert seen.full_share == 1.0
    assert "100% of the first 4 captions fill the context of 4 tokens" in seen.warnings[0]


class Given:
    """A corpus of these captions, whose images are as wide and high as is said."""

    folder = "here"

    def __init__(self, captions, sides=None):
        self.caption = captions.__getitem__
        self.sides = sides or [(8 + i, 9) for i in range(len(captions))]

    def __len__(self):
        return len(self.sides)

    def image(self, i):
        return Image.new("RGB", self.sides[i])


def test_the_shorter_side_is_measured():
    assert preflight(Given(["a", "b", "c"], [(30, 50), (60, 40), (90, 20)])).median_side == 30


def test_two_in_ten_cut_captions_are_a_warning_and_one_is_none():
    short, long = [f"caption {'x' * i}" for i in range(10)], [f"a caption of four {'x' * (i + 1)}" for i in range(10)]
    for cut in (1, 2):
        seen = preflight(Given([*long[:cut], *short[cut:]]), lambda c: words(c, 7))  # five words, start and end
        assert (seen.full_share, seen.most_tokens, bool(seen.warnings)) == (cut / 10, 7, cut == 2)


def test_what_is_half_of_the_samples_is_not_most_of_them():
    assert preflight(Given(["same", "same", "a", "b"])).distinct_captions == 3
    assert preflight(Given(["same", "same"])).distinct_captions == 1  # of two samples nothing can be told
    with pytest.raises(HelipError, match="3 of its first 5 samples have the same caption"):
        preflight(Given(["same", "same", "same", "a", "b"]))
    assert preflight(Given(["", " ", "a", "b"]), words).samples == 4
    with pytest.raises(HelipError, match="3 of its first 5 captions have no tokens"):
        preflight(Given(["", " ", "  ", "a", "b"]), words)


def test_one_caption_or_image_everywhere_is_refused(tmp_path):
    same_caption = [f if f[0].endswith("jpg") else (f[0], b"image.jpg") for f in pairs(4)]
    with pytest.raises(HelipError, match=r"4 of its first 4 samples have the same caption \('image\.jpg'\)"):
        preflight(indexed(tmp_path / "a", same_caption))
    same_image = [f if f[0].endswith("txt") else (f[0], noisy()) for f in pairs(4)]
    with pytest.raises(HelipError, match="4 of its first 4 samples have the same image"):
        preflight(indexed(tmp_path / "b", same_image))


def test_a_wrong_tokenizer_is_refused(tmp_path):
    corpus = indexed(tmp_path, pairs(3))
    with pytest.raises(HelipError, match="gives id 10, and the model embeds 10"):
        preflight(corpus, words, vocabulary=10)
    assert preflight(corpus, words, vocabulary=11).samples == 3
    with pytest.raises(HelipError, match=r"gives float64 of shape \(3, 8\)"):
        preflight(corpus, lambda c: words(c).astype(float))
    with pytest.raises(HelipError, match="3 of its first 3 captions have no tokens"):
        preflight(corpus, lambda c: words([""] * len(c)))


def test_a_shard_that_went_bad_is_refused(tmp_path):
    corpus = indexed(tmp_path, pairs(3))
    shard = tmp_path / "in" / "0.tar"
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(HelipError, match="changed since"):
        preflight(corpus)
