import numpy as np
import pytest

from helip.config import MiningSpec
from helip.errors import HelipError
from helip.mining.pairs import PairSet
from helip.selection import false_negatives
from helip.selection.false_negatives import drop_false_negatives


def pair_set(lists, noise=()):
    offsets = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int64)
    ids = np.array([j for x in lists for j in x], np.int32)
    return PairSet(
        ids, np.linspace(1, 0.5, len(ids)).astype(np.float32), offsets, np.isin(np.arange(len(lists)), noise), MiningSpec(k=2), len(lists)
    )


@pytest.fixture
def three():
    """Cosines s_ij of image i (row) and caption j: 0 and 1 cannot be told apart, 2 is its own.

    s = [[.6, .8, 0], [.6, .8, 0], [0, 0, 1]]: image 0 fits caption 1 (.8) better than its own (.6).
    """
    image = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    text = np.array([[0.6, 0.8, 0], [0.8, 0.6, 0], [0, 0, 1]], np.float32)
    return image, text


def test_by_hand(three):
    filtered = drop_false_negatives(pair_set([[1, 2], [0, 2], []], noise=[2]), *three)
    assert [filtered.hard(i).tolist() for i in range(3)] == [[2], [2], []]
    assert filtered.scores(0).tolist() == pytest.approx([5 / 6])  # the second of 1, 5/6, 4/6, 1/2: scores stay with their pairs
    assert filtered.noise.tolist() == [False, False, True]


def test_the_margin_moves_the_line(three):
    pairs = pair_set([[1], [0], []])
    assert len(drop_false_negatives(pairs, *three, margin=-0.19).ids) == 0  # s_01 - s_00 = 0.2 still counts
    assert len(drop_false_negatives(pairs, *three, margin=-0.21).ids) == 2
    assert len(drop_false_negatives(pair_set([[2], [], []]), *three, margin=0.61).ids) == 0  # s_02 = 0 lies within 0.61 of s_00


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    image, text = rng.standard_normal((2, 30, 4)).astype(np.float16)
    pairs = pair_set([rng.choice(30, 4, replace=False).tolist() for _ in range(30)])
    whole = drop_false_negatives(pairs, image, text)
    monkeypatch.setattr(false_negatives, "BLOCK", 7)
    parts = drop_false_negatives(pairs, image, text)
    assert 0 < len(whole.ids) < len(pairs.ids)
    assert whole.ids.tolist() == parts.ids.tolist() and whole.offsets.tolist() == parts.offsets.tolist()


def test_it_is_a_pair_set_that_saves_and_opens(three, tmp_path):
    drop_false_negatives(pair_set([[1, 2], [0, 2], []], noise=[2]), *three).save(tmp_path / "pairs", corpus_digest="abc")
    assert PairSet.open(tmp_path / "pairs", "abc").hard(1).tolist() == [2]


def test_features_of_another_corpus_are_refused(three):
    image, text = three
    with pytest.raises(HelipError, match="pairs of 2 targets .* do not belong together"):
        drop_false_negatives(pair_set([[1], [0]]), image, text)


def test_a_relative_margin_and_why_pairs_were_left_out(three):
    pairs = pair_set([[1, 2], [0, 2], []], noise=[2])
    image, text = three
    own, other = [np.einsum("bd,bd->b", image[a], text[b]) for a, b in (([0, 1, 2], [0, 1, 2]), ([0, 0, 1, 1], [1, 2, 0, 2]))]
    back = np.einsum("bd,bd->b", image[[1, 2, 0, 2]], text[[0, 0, 1, 1]])
    for relative in (0.0, 0.3, 0.9):
        least = own * (1 - relative)
        caption, fits = other >= least[[0, 0, 1, 1]], back >= least[[1, 2, 0, 2]]
        after = drop_false_negatives(pairs, image, text, relative_margin=relative)
        assert len(after.ids) == 4 - (caption | fits).sum()
        assert after.metadata["left_out"] == {"caption_fits_image": caption.sum(), "image_fits_caption": (fits & ~caption).sum()}


def test_a_filter_that_leaves_no_pair_is_refused(job, model_folder, tmp_path):
    from helip.models.reference import parse

    corpus = job().corpus
    pair_set([[(i + 1) % 48] for i in range(48)]).save(tmp_path / "pairs", corpus_digest=corpus.digest)
    how = (corpus, tmp_path / "pairs", parse(str(model_folder)), tmp_path / "features")
    with pytest.raises(HelipError, match="pairs: a margin of 1 takes all 48 hard pairs for matches; lower it"):
        false_negatives.filter_pairs(*how, 1.0, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    before, after = false_negatives.filter_pairs(*how, -1.0, tmp_path / "out")
    assert len(before.ids) == len(after.ids) == 48
