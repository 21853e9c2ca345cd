import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_selection import slow_auc

from helip.errors import HelipError
from helip.selection import keep_top
from helip.selection.keep import detection, read_column, read_keep


def test_the_highest_stay_and_ties_go_to_the_smaller_id():
    assert keep_top(np.array([1.0, 3.0, 2.0, 2.0, 2.0]), 0.6).tolist() == [False, True, True, True, False]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.floats(0.01, 1))
def test_as_many_stay_as_declared_and_none_that_left_is_better(values, share):
    scores = np.array(values, np.float32)
    keep = keep_top(scores, share)
    assert keep.sum() == max(1, round(share * len(values)))
    if not keep.all():
        worst_kept, best_left = scores[keep].min(), scores[~keep].max()
        assert worst_kept >= best_left
        if worst_kept == best_left:
            assert np.flatnonzero(keep & (scores == worst_kept)).max() < np.flatnonzero(~keep & (scores == best_left)).min()


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(HelipError, match="score of pair 1 and of 1 more is NaN or infinite"):
        keep_top(np.array([0.0, np.nan, np.inf]), 0.5)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"holds float64 \[3\], and the corpus needs one number for each of its 4 pairs"),
        (np.zeros((4, 1)), r"holds float64 \[4, 1\]"),
        (np.array(["a", "b", "c", "d"]), "holds <U1"),
        (np.array([{}] * 4, object), "not a whole .npy array"),
    ],
)
def test_a_column_that_does_not_fit_the_corpus_is_refused(tmp_path, array, message):
    np.save(tmp_path / "column.npy", array, allow_pickle=True)
    with pytest.raises(HelipError, match=message):
        read_column(tmp_path / "column.npy", 4)


def test_a_column_that_is_absent_is_named(tmp_path):
    with pytest.raises(HelipError, match=r"column.npy: not found; write one score per pair"):
        read_column(tmp_path / "column.npy", 4)


@pytest.mark.parametrize(("array", "contents"), [(np.ones(4), "float64"), (np.ones(3, bool), r"bool \[3\]")])
def test_a_mask_that_is_none_of_this_corpus_is_refused(tmp_path, array, contents):
    np.save(tmp_path / "keep.npy", array)
    with pytest.raises(HelipError, match=f"holds {contents}.*needs bool .4.: select from this corpus again"):
        read_keep(tmp_path / "keep.npy", 4)


def test_detection_by_hand():
    """Five pairs, two mismatched; the two lowest are dropped, one of them rightly."""
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    mismatched = np.array([True, False, True, False, False])
    detected = detection(scores, keep_top(scores, 0.6), mismatched)
    # of the 6 (good, bad) pairs, the good one scores higher in all but (0.2, 0.3)
    assert detected == {"mismatched": 2, "dropped": 2, "precision": 0.5, "recall": 0.5, "auc": pytest.approx(5 / 6)}


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_auc_is_its_slow_twin_with_ties(items):
    scores, mismatched = np.array([s for s, _ in items], float), np.array([m for _, m in items])
    detected = detection(scores, np.ones(len(items), bool), mismatched)
    if mismatched.all() or not mismatched.any():
        assert detected["auc"] is None
    else:
        assert detected["auc"] == pytest.approx(slow_auc(scores, mismatched))
    assert detected["precision"] is None  # nothing was dropped
