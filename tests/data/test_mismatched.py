"""Captions swapped on purpose: how many, among which, and that images and everything else stay what they are."""

import numpy as np
import pytest
from archives import indexed, noisy

from helip.config import MismatchedCorpus
from helip.data.corpus import Corpus
from helip.data.mismatched import mismatch, source_of, swapped
from helip.errors import HelipError
from helip.synthetic.truth import mismatched

WORDS = [
    "dog runs grass",
    "dog jumps grass",
    "cat sleeps sofa",
    "cat sits sofa",
    "boat sails lake",
    "boat floats lake",
    "car drives road",
    "car parks road",
]


def _base(folder, size=40) -> Corpus:
    files = [f for i in range(size) for f in ((f"{i:03d}.jpg", noisy(seed=i)), (f"{i:03d}.txt", f"{WORDS[i % 8]} number{i}".encode()))]
    return indexed(folder, files)


def _declared(**settings) -> MismatchedCorpus:
    return MismatchedCorpus(of="base", **{"share": 0.25, "seed": 3} | settings)


def test_a_share_of_the_captions_is_permuted(tmp_path):
    base = _base(tmp_path)
    corpus = mismatch(_declared(), base, tmp_path / "mismatched")
    source = source_of(corpus.folder)
    assert sorted(source) == list(range(40))
    assert mismatched(corpus.folder).sum() == 10 == corpus.manifest["mismatched"]
    assert [corpus.caption(i) for i in range(40)] == [base.caption(s) for s in source]
    assert [corpus.image_bytes(i) for i in range(40)] == [base.image_bytes(i) for i in range(40)]
    assert [corpus.key(i) for i in range(40)] == [base.key(i) for i in range(40)]
    assert corpus.digest != base.digest


def test_a_draw_is_a_function_of_its_seed(tmp_path):
    base = _base(tmp_path)
    np.testing.assert_array_equal(swapped(_declared(), base), swapped(_declared(), base))
    assert (swapped(_declared(), base) != swapped(_declared(seed=4), base)).any()
    more = swapped(_declared(share=0.5), base) != np.arange(40)
    assert more[swapped(_declared(), base) != np.arange(40)].all()  # a larger share holds the smaller


def test_near_swaps_share_words_and_are_swaps(tmp_path):
    source = swapped(_declared(share=0.5, near=1.0, nearest=3), _base(tmp_path))
    moved = np.flatnonzero(source != np.arange(40))
    assert len(moved) == 20
    np.testing.assert_array_equal(source[source], np.arange(40))
    same_animal = [WORDS[i % 8].split()[0] == WORDS[source[i] % 8].split()[0] for i in moved]
    assert all(same_animal)


def test_half_of_the_swaps_are_near_where_asked(tmp_path):
    source = swapped(_declared(share=0.5, near=0.5, nearest=3), _base(tmp_path))
    moved = np.flatnonzero(source != np.arange(40))
    swaps = (source[source[moved]] == moved).sum()
    assert len(moved) == 20
    assert 10 <= swaps <= 12  # a permutation may swap two by chance


def test_a_corpus_that_cannot_be_mismatched_is_refused(tmp_path):
    with pytest.raises(HelipError, match="mismatches need two pairs at least"):
        mismatch(_declared(), _base(tmp_path, 1), tmp_path / "out")


def test_nobody_knows_the_mismatches_of_a_plain_corpus(tmp_path):
    assert mismatched(_base(tmp_path).folder) is None
