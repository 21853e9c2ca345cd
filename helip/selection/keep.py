"""From a score per pair to a mask of the pairs that stay, and how well low scores find mismatched pairs. Numpy only."""

from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from helip.errors import HelipError
from helip.io import load_array


@dataclass(frozen=True)
class Scored:
    """Scores [N] of a corpus, digests of what they came from, and what else selection.json says of how they came about."""

    scores: np.ndarray
    sources: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)


def keep_top(scores: np.ndarray, share: float) -> np.ndarray:
    """Returns bool [N]: the round(share * N) highest scores (at least one), ties by smaller id; HelipError for NaN or infinity."""
    if not len(scores) or not isinstance(share, Real) or not 0 < share <= 1:
        raise HelipError(f"cannot keep a share of {share} of {len(scores)} pairs; the share must lie above 0 and at most at 1")
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise HelipError(f"the score of pair {bad[0]} and of {len(bad) - 1} more is NaN or infinite; every pair needs a number")
    best_first = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    keep = np.zeros(len(scores), bool)
    keep[best_first[: max(1, round(share * len(scores)))]] = True
    return keep


def read_column(path: Path, size: int) -> np.ndarray:
    """Returns a user's own scores, one number per pair of the corpus, as float32 [N]; HelipError for a file that is none."""
    column = load_array(path, "write one score per pair there with numpy.save", mapped=False)
    if column.shape != (size,) or column.dtype.kind not in "fiu":
        raise HelipError(f"{path}: holds {column.dtype} {list(column.shape)}, and the corpus needs one number for each of its {size} pairs")
    return column.astype(np.float32)


def read_keep(path: Path, size: int) -> np.ndarray:
    """Returns the mask bool [N] that `helip select` writes, the pairs to train on; HelipError for one of another corpus."""
    keep = load_array(path, "run `helip select` first", mapped=False)
    if keep.dtype != bool or keep.shape != (size,):
        raise HelipError(
            f"{path}: holds {keep.dtype} {list(keep.shape)}, and the corpus needs bool [{size}]: select from this corpus again"
        )
    return keep


def detection(scores: np.ndarray, keep: np.ndarray, mismatched: np.ndarray) -> dict[str, float | None]:
    """Returns precision and recall of the dropped pairs as a detector of mismatches, and the AUC of the score itself (ties count half).

    It is for the report, never for choosing: only a generated corpus knows its mismatched pairs. Shapes [N] all. None where a share has no
    denominator: nothing dropped, nothing mismatched.
    """
    from scipy.stats import rankdata

    dropped, bad, good = ~keep, int(mismatched.sum()), int((~mismatched).sum())
    detected = int((dropped & mismatched).sum())
    above = rankdata(scores)[~mismatched].sum() - good * (good + 1) / 2  # pairs (good, bad) in which the good one scores higher
    return {
        "mismatched": bad,
        "dropped": int(dropped.sum()),
        "precision": detected / int(dropped.sum()) if dropped.any() else None,
        "recall": detected / bad if bad else None,
        "auc": float(above / (good * bad)) if good and bad else None,
    }
