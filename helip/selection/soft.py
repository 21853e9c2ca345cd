"""Soft selection: which pairs an epoch draws, more often those that score higher, none too often. Numpy only."""

import numpy as np

from helip.errors import HelipError


def soft_cap_sampling(
    logits: np.ndarray, size: int, *, penalty: float = 0.15, draws: int | None = None, seed: int = 0, epoch: int = 0
) -> np.ndarray:
    """int64 [size]: pairs in the order drawn, a pure function of its arguments. Soft cap sampling, FLYT, arXiv 2503.08805.

    `draws` different pairs at a time (None: a hundredth of the pairs) are drawn in proportion to exp(logits), then their logits fall by
    `penalty`: a pair comes back as often as its score deserves, and the rarer the more often it was drawn. Ranks or cosines are no
    logits; standardise them first (`as_logits`). Raises HelipError for logits that are not finite and for settings out of range.
    """
    logits = np.array(logits, np.float64)
    draws = draws or max(1, len(logits) // 100)
    if logits.ndim != 1 or not np.isfinite(logits).all():
        raise HelipError("soft selection: expected one finite number per pair; score the corpus again")
    if not (0 < draws <= len(logits) and size > 0 and penalty >= 0):
        raise HelipError(
            f"soft selection: {size} pairs, {draws} at a time with penalty {penalty:g}, cannot be drawn from {len(logits)}; give a size "
            f"above 0, at most {len(logits)} draws at a time and a penalty of at least 0"
        )
    rng, out = np.random.default_rng([seed, epoch]), []
    for start in range(0, size, draws):
        count = min(draws, size - start)
        keys = logits + rng.gumbel(size=len(logits))  # the largest keys are draws without replacement, the first drawn first
        best = np.argpartition(-keys, count - 1)[:count]
        drawn = best[np.lexsort((best, -keys[best]))]
        logits[drawn] -= penalty
        out.append(drawn)
    return np.concatenate(out)


def as_logits(scores: np.ndarray, spread: float = 1.0) -> np.ndarray:
    """float64 [N]: scores less their mean, in units of their standard deviation, times `spread`: 0 draws uniformly."""
    scores = np.asarray(scores, np.float64)
    if scores.min() == scores.max():
        return np.zeros(len(scores))
    standard: np.ndarray = spread * (scores - scores.mean()) / scores.std()
    return standard
