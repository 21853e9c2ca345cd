"""Feature caches: the right row for each pair, each caption once, resumable, refused when unusable."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from helip import encoders
from helip.config import SelfSupervisedEncoder, SentenceEncoder
from helip.encoders import cache
from helip.encoders.encoder import Encoder
from helip.encoders.features import Features
from helip.errors import HelipError

TEXT, IMAGE = SentenceEncoder(model="made for the test"), SelfSupervisedEncoder(centre=False)
CENTRED = SelfSupervisedEncoder(centre=True)


class Lengths:
    """A text encoder of three dimensions that can be counted and made to fail."""

    def __init__(self, fail_after=None, spoil=None, weights="w"):
        self.seen, self.fail_after, self.spoil = [], fail_after, spoil
        self.encoder = Encoder("text", 3, weights, "none", self.embed)

    def embed(self, captions):
        if self.fail_after is not None and len(self.seen) >= self.fail_after:
            raise KeyboardInterrupt
        self.seen += captions
        rows = torch.tensor([[len(c), c.count("w"), 5.0] for c in captions])
        return rows if self.spoil is None else rows * self.spoil


def colours(images):
    return images.float().mean((2, 3))


def image_encoder(centre=False):
    prepare = lambda image: torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)  # noqa: E731
    return Encoder("image", 3, "w", "none", colours, prepare)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-4), ("float32", 1e-6)])
def test_row_i_is_the_unit_feature_of_caption_i(discs, tmp_path, dtype, tolerance):
    corpus, text = discs(50), Lengths()
    cache.encode(TEXT, text.encoder, corpus, tmp_path / "f", batch_size=4, dtype=dtype)
    captions = [corpus.caption(i) for i in range(50)]
    expected = unit(np.array([[len(c), c.count("w"), 5.0] for c in captions]))
    features = Features.open(tmp_path / "f", "discs")
    assert features.array.dtype == dtype
    np.testing.assert_allclose(features.array, expected, atol=tolerance)


def test_each_distinct_caption_is_encoded_once_longest_first(discs, tmp_path):
    text = Lengths()
    cache.encode(TEXT, text.encoder, discs(50, captions=7), tmp_path / "f", batch_size=2)
    assert len(text.seen) == len(set(text.seen)) == 7
    assert [len(c) for c in text.seen] == sorted(map(len, text.seen), reverse=True)
    assert Features.open(tmp_path / "f").metadata["distinct"] == 7


def test_images_are_encoded_in_order(discs, tmp_path):
    corpus = discs(21)
    cache.encode(IMAGE, image_encoder(), corpus, tmp_path / "f", batch_size=4, dtype="float32")
    expected = unit(np.stack([np.asarray(corpus.image(i), dtype=float).mean((0, 1)) for i in range(21)]))
    np.testing.assert_allclose(Features.open(tmp_path / "f").array, expected, atol=1e-6)


def test_loader_processes_change_nothing(discs, tmp_path):
    for workers in (0, 2):
        cache.encode(IMAGE, image_encoder(), discs(21), tmp_path / str(workers), batch_size=4, workers=workers)
    assert np.array_equal(Features.open(tmp_path / "0").array, Features.open(tmp_path / "2").array)


def test_centring_subtracts_the_mean_before_normalising(discs, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 8)
    text = Lengths()
    declaration = SentenceEncoder(model="made for the test", centre=True)
    cache.encode(declaration, text.encoder, discs(50, captions=7), tmp_path / "f", dtype="float32")
    captions = [discs(50, captions=7).caption(i) for i in range(50)]
    raw = np.array([[len(c), c.count("w"), 5.0] for c in captions])
    features = Features.open(tmp_path / "f")
    np.testing.assert_allclose(features.array, unit(raw - raw.mean(0)), atol=1e-5)
    assert features.metadata["centred"] is True


def test_a_killed_encoding_goes_on_from_its_last_block(discs, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 8)
    corpus = discs(40, captions=40)
    with pytest.raises(KeyboardInterrupt):
        cache.encode(TEXT, Lengths(fail_after=20).encoder, corpus, tmp_path / "f", batch_size=4)
    assert not (tmp_path / "f").exists()
    again, whole = Lengths(), Lengths()
    cache.encode(TEXT, again.encoder, corpus, tmp_path / "f", batch_size=4)
    cache.encode(TEXT, whole.encoder, corpus, tmp_path / "g", batch_size=4)
    assert len(again.seen) == 40 - 16  # two blocks of eight were whole
    assert (tmp_path / "f" / "features.npy").read_bytes() == (tmp_path / "g" / "features.npy").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "g"]


def test_what_another_encoder_left_is_not_gone_on_with(discs, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 8)
    corpus = discs(40, captions=40)
    with pytest.raises(KeyboardInterrupt):
        cache.encode(TEXT, Lengths(fail_after=20).encoder, corpus, tmp_path / "f", batch_size=4)
    other = Lengths(weights="retrained")
    cache.encode(TEXT, other.encoder, corpus, tmp_path / "f", batch_size=4)
    assert len(other.seen) == 40


def test_a_damaged_half_is_begun_again(discs, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 8)
    corpus = discs(40, captions=40)
    with pytest.raises(KeyboardInterrupt):
        cache.encode(TEXT, Lengths(fail_after=20).encoder, corpus, tmp_path / "f", batch_size=4)
    (half,) = tmp_path.glob(".f.*.partial")
    (half / "rows.npy").write_bytes((half / "rows.npy").read_bytes()[:150])
    again = Lengths()
    cache.encode(TEXT, again.encoder, corpus, tmp_path / "f", batch_size=4)
    assert len(again.seen) == 40


@pytest.mark.parametrize("spoil", [float("nan"), float("inf"), 0.0])
def test_an_encoder_that_gives_nonsense_is_refused(discs, tmp_path, spoil):
    with pytest.raises(HelipError, match="NaN, infinity or nothing but zeros for the caption 'a disc ' and 6 more of its block"):
        cache.encode(TEXT, Lengths(spoil=spoil).encoder, discs(10), tmp_path / "f")
    assert not (tmp_path / "f").exists()
    encoder = image_encoder()
    spoilt = replace(encoder, embed=lambda images: encoder.embed(images) * spoil)
    with pytest.raises(HelipError, match="for image 0 and 9 more"):
        cache.encode(IMAGE, spoilt, discs(10), tmp_path / "f")


def test_a_caption_is_named_by_its_words(tmp_path, discs):
    corpus, long = discs(10), "a very long caption " * 20
    corpus.caption = lambda i: long if i == 7 else "short"
    embed = lambda captions: torch.tensor([[0.0 if c == long else 1.0] for c in captions])  # noqa: E731
    with pytest.raises(HelipError, match=r"for the caption '(a very long caption ){4}\.\.\.' and 0 more"):
        cache.encode(TEXT, Encoder("text", 1, "w", "none", embed), corpus, tmp_path / "f")


def test_an_empty_corpus_is_refused(discs, tmp_path):
    with pytest.raises(HelipError, match="the corpus is empty"):
        cache.encode(TEXT, Lengths().encoder, discs(0), tmp_path / "f")


def test_a_trained_encoder_end_to_end(trained, discs, tmp_path):
    declaration, folder = trained
    cache.encode(declaration, encoders.load(declaration, folder), discs(64), tmp_path / "f")
    features = Features.open(tmp_path / "f", "discs")
    assert features.array.shape == (64, 8)
    np.testing.assert_allclose(np.linalg.norm(features.array.astype(float), axis=1), 1, atol=2e-3)
    cosines = features.array.astype(float) @ features.array.astype(float).T
    assert abs(np.median(cosines[np.triu_indices(64, 1)])) < 0.3  # centred: a threshold of 0.5 means something


# ---------------------------------------------------------------- opening


@pytest.fixture
def written(discs, tmp_path):
    cache.encode(TEXT, Lengths().encoder, discs(50), tmp_path / "f")
    return tmp_path / "f"


def test_features_of_another_corpus_are_refused(written):
    with pytest.raises(HelipError, match=r"features of another corpus \(discs, not flickr\)"):
        Features.open(written, "flickr")


def test_a_truncated_file_is_refused(written):
    path = written / "features.npy"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(HelipError, match=r"features.npy: not a whole .npy array"):
        Features.open(written)
    path.write_bytes(b"")
    with pytest.raises(HelipError, match=r"features.npy: not a whole .npy array"):
        Features.open(written)


def test_nan_among_the_features_is_refused(written):
    array = np.load(written / "features.npy")
    array[17, 1] = np.nan
    np.save(written / "features.npy", array)
    with pytest.raises(HelipError, match="NaN or infinity among rows 0 to 49"):
        Features.open(written)


def test_another_width_is_refused(written):
    np.save(written / "features.npy", np.ones((50, 4), np.float16))
    with pytest.raises(HelipError, match=r"holds float16 \(50, 4\) and features.json says float16 \(50, 3\)"):
        Features.open(written)


def test_missing_files_are_named(written):
    (written / "features.npy").unlink()
    with pytest.raises(HelipError, match=r"features.npy: not found"):
        Features.open(written)
    with pytest.raises(HelipError, match=r"features.json: not found"):
        Features.open(written / "nowhere")


def test_the_json_says_where_the_features_come_from(written):
    metadata = json.loads((written / "features.json").read_text())
    assert metadata["inputs"] == {"corpus": "discs", "weights": "w"}
    kinds = metadata["modality"], metadata["logits"], metadata["preprocessing"]
    assert (metadata["rows"], metadata["dim"], *kinds) == (50, 3, "text", False, "none")


def test_a_corpus_without_spread_is_not_centred(discs, tmp_path):
    corpus = discs(5, captions=1)
    with pytest.raises(HelipError, match="the feature of pair 0 is the corpus mean, .*leave --centre out"):
        cache.encode(SentenceEncoder(model="made for the test", centre=True), Lengths().encoder, corpus, tmp_path / "f")
    assert not (tmp_path / "f").exists()
