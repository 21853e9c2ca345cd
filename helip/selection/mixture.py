"""Scores on one scale: their ranks, and weighted sums of those. Numpy only."""

from collections.abc import Mapping

import numpy as np

from helip.errors import HelipError


def ranks(scores: np.ndarray) -> np.ndarray:
    """float64 [N] in (0, 1]: the share of the pairs that score at most as high, ties in the middle of their places."""
    from scipy.stats import rankdata

    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise HelipError(f"the score of pair {bad[0]} and of {len(bad) - 1} more is NaN or infinite; every pair needs a number")
    return np.asarray(rankdata(scores) / len(scores))


def mixture(scores: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """float32 [N]: the weighted mean of the scores' ranks, for weights such as {"clip_score": 1, "agreement": 1}.

    Raises HelipError for a weight without a score, for weights that are not above 0 and for scores that are not all of one length.
    """
    missing = [name for name in weights if name not in scores]
    if missing or not weights or not all(0 < weight < float("inf") for weight in weights.values()):
        raise HelipError(f"mixture {dict(weights)}: give each of {', '.join(scores) or 'no scores'} a weight above 0, and no other name")
    lengths = {len(scores[name]) for name in weights}
    if len(lengths) > 1:
        raise HelipError(f"mixture: scores of {' and '.join(map(str, sorted(lengths)))} pairs are not of one corpus; score the same pairs")
    total = sum(weights.values())
    mixed: np.ndarray = np.sum([weight / total * ranks(scores[name]) for name, weight in weights.items()], 0)
    return mixed.astype(np.float32)
