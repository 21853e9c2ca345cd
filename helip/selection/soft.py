"""Soft selection: which pairs an epoch draws, more often those that score higher, none too often. Numpy only."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helip.config import Selection
from helip.errors import HelipError
from helip.io import digest, file_digest, read_json
from helip.selection.keep import read_column


@dataclass(frozen=True)
class Soft:
    """How often the pairs of a corpus are drawn: logits [N] and the settings of `soft_cap_sampling`. digest: of all of them."""

    logits: np.ndarray
    penalty: float = 0.15
    repeats: int | None = None
    digest: str = ""


def of_selection(file: Path, keep: np.ndarray) -> Soft | None:
    """Returns how a selection's pairs are drawn, by the scores.npy and selection.json beside its keep.npy; None where all are drawn alike.

    file: the selection's keep.npy. keep: bool [N], the mask in it. Scores are standardised over the pairs that it selects.
    HelipError where the scores are missing or of another corpus.
    """
    beside = file.with_name("selection.json")
    declared = read_json(beside).get("declaration", {}) if beside.is_file() else {}
    if not isinstance(declared, dict):
        raise HelipError(f"{beside}: its declaration is none of a selection; select again")
    if declared.get("sampling", "hard") == "hard":
        return None
    fields = ("sampling", "spread", "penalty", "repeats")
    spec = Selection.model_validate({name: declared[name] for name in fields if name in declared})
    scores, logits = file.with_name("scores.npy"), np.zeros(len(keep))
    logits[keep] = as_logits(read_column(scores, len(keep))[keep], spec.spread)
    return Soft(logits, spec.penalty, spec.repeats, digest([spec, file_digest(scores)]))


def soft_cap_sampling(
    logits: np.ndarray, size: int, *, penalty: float = 0.15, repeats: int | None = None, draws: int | None = None, seed: int = 0,
    epoch: int = 0,
) -> np.ndarray:  # fmt: skip
    """int64 [size]: pairs in the order drawn, a pure function of its arguments. Soft cap sampling, FLYT, arXiv 2503.08805.

    `draws` different pairs at a time (None: a hundredth of the pairs) are drawn in proportion to exp(logits), then their logits fall by
    `penalty`: a pair comes back as often as its score deserves, and the rarer the more often it was drawn; never more than `repeats` times,
    where that is given. Ranks or cosines are no logits; standardise them first (`as_logits`). Raises HelipError for logits that are not
    finite and for settings out of range.
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
    rng, out, times = np.random.default_rng([seed, epoch]), [], np.zeros(len(logits), np.int64)
    for start in range(0, size, draws):
        count = min(draws, size - start)
        keys = logits + rng.gumbel(size=len(logits))  # the largest keys are draws without replacement, the first drawn first
        best = np.argpartition(-keys, count - 1)[:count]
        drawn = best[np.lexsort((best, -keys[best]))]
        if not np.isfinite(keys[drawn]).all():
            raise HelipError(f"soft selection: {size} pairs cannot be drawn from {len(logits)} at most {repeats} times each; raise repeats")
        logits[drawn] -= penalty
        times[drawn] += 1
        if repeats is not None:
            logits[drawn[times[drawn] >= repeats]] = -np.inf
        out.append(drawn)
    return np.concatenate(out)


def as_logits(scores: np.ndarray, spread: float = 1.0) -> np.ndarray:
    """float64 [N]: scores less their mean, in units of their standard deviation, times `spread`: 0 draws uniformly."""
    scores = np.asarray(scores, np.float64)
    if scores.min() == scores.max():
        return np.zeros(len(scores))
    standard: np.ndarray = spread * (scores - scores.mean()) / scores.std()
    return standard
