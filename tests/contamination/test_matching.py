"""Near-duplicates: the banded search against comparing all with all, and real photographs under the changes that the web makes."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from helip.contamination import FINGERPRINT, fingerprint, matching, near_duplicates
from helip.data.tars import samples


def fingerprints(rng, n: int) -> np.ndarray:
    return np.array(list(zip(rng.integers(0, 2**64, n, np.uint64), rng.integers(0, 2**64, n, np.uint64), strict=True)), FINGERPRINT)


def flipped(rng, one: np.ndarray, dct: int, gradient: int) -> np.ndarray:
    """The same with that many bits turned over in each word."""
    changed = one.copy()
    for i in range(len(changed)):
        for name, count in (("dct", dct), ("gradient", gradient)):
            for bit in rng.choice(64, count, replace=False):
                changed[name][i] ^= np.uint64(1) << np.uint64(bit)
    return changed


def all_with_all(items, samples, dct_bits, gradient_bits) -> set[tuple[int, int, int]]:
    """The slow obvious twin."""
    pairs = set()
    for i, a in enumerate(items):
        for j, b in enumerate(samples):
            distance = int(a["dct"] ^ b["dct"]).bit_count()
            if distance <= dct_bits and int(a["gradient"] ^ b["gradient"]).bit_count() <= gradient_bits:
                pairs.add((i, j, distance))
    return pairs


@given(st.integers(0, 2**32), st.integers(0, 6), st.integers(0, 12))
def test_the_banded_search_equals_comparing_all_with_all(seed, dct_bits, gradient_bits):
    rng = np.random.default_rng(seed)
    items = fingerprints(rng, 12)
    planted = [flipped(rng, items[:8], int(rng.integers(0, 8)), int(rng.integers(0, 14))) for _ in range(3)]
    corpus = np.concatenate([fingerprints(rng, 20), *planted, items[:2]])
    matches = near_duplicates(items, corpus, dct_bits, gradient_bits)
    assert set(zip(*(c.tolist() for c in matches), strict=True)) == all_with_all(items, corpus, dct_bits, gradient_bits)
    assert len(matches.item) == len(set(zip(matches.item.tolist(), matches.sample.tolist(), strict=True)))


def test_many_equal_hashes_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr(matching, "CANDIDATES", 7)
    rng = np.random.default_rng(0)
    one = fingerprints(rng, 1)
    corpus = np.concatenate([np.repeat(one, 40), fingerprints(rng, 5)])
    matches = near_duplicates(np.repeat(one, 3), corpus)
    assert matches.item.tolist() == np.repeat([0, 1, 2], 40).tolist() and matches.sample.tolist() == [*range(40)] * 3


@pytest.mark.parametrize("empty", ["items", "samples"])
def test_nothing_has_no_duplicates(empty):
    some, none = fingerprints(np.random.default_rng(0), 4), np.zeros(0, FINGERPRINT)
    matches = near_duplicates(none, some) if empty == "items" else near_duplicates(some, none)
    assert [len(c) for c in matches] == [0, 0, 0]


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(io.BytesIO(data.getvalue()))


CHANGES = {
    "recompressed": lambda image: jpeg(image, 60),
    "halved": lambda image: image.resize((64, 64), Image.Resampling.LANCZOS),
    "enlarged": lambda image: image.resize((300, 300), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "grey": lambda image: image.convert("L"),
}


@pytest.fixture(scope="module")
def photographs(data_root):
    shard = sorted((data_root / "flickr8k" / "pairs").glob("*.tar"))[0]
    images = [Image.open(io.BytesIO(f.data)).convert("RGB") for _, files in samples(shard, frozenset({"jpg"})) for f in files if f.data]
    return images[:300]


def hashed(images) -> np.ndarray:
    return np.array([fingerprint(image) for image in images], FINGERPRINT)


@pytest.mark.parametrize("change", CHANGES)
def test_edited_photographs_match_and_others_do_not(photographs, change):
    matches = near_duplicates(hashed(map(CHANGES[change], photographs)), hashed(photographs))
    own = matches.item == matches.sample
    assert own.sum() >= 0.97 * len(photographs)
    assert (~own).sum() <= 2  # photographs taken one after the other


def test_a_crop_is_another_image(photographs):
    """Stated, not wished: perceptual hashes find copies, not parts."""
    matches = near_duplicates(hashed(p.crop((0, 0, 96, 96)) for p in photographs), hashed(photographs))
    assert len(matches.item) <= 3
