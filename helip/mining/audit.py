"""A short audit of a pair set: is what was mined hard, varied and true? Sampled, seconds long, the same sample every time."""

from typing import Any, Protocol

import numpy as np
import torch

from helip.mining.features import checked, cosines, load
from helip.mining.pairs import PairSet

TARGETS = 2_000  # sampled for what needs features or truth
NEAR = 0.98  # a cosine above which two samples are nearly the same
QUANTILES = (1, 5, 25, 50, 75, 95, 99)


class Truth(Protocol):
    """What a generated corpus knows of itself (helip.data.world.truth has it). Ids broadcast."""

    mismatched: np.ndarray

    def same_concept(self, i, j) -> np.ndarray: ...
    def attribute_overlap(self, i, j) -> np.ndarray: ...
    def caption_true_of(self, caption, image) -> np.ndarray: ...


def audit(
    pairs: PairSet, image_features: np.ndarray | None = None, text_features: np.ndarray | None = None, truth: Truth | None = None
) -> dict[str, Any]:
    """Plain JSON values. features: [N, D] as they were mined, None for a modality that was not. truth: of a generated corpus."""
    targets = sampled_targets(pairs, TARGETS)
    i = np.repeat(targets, pairs.spec.k) + pairs.first
    j = np.concatenate([pairs.hard(t) for t in targets]) if len(targets) else np.zeros(0, np.int32)
    report = {
        "targets": len(pairs),
        "noise_targets": int(pairs.noise.sum()),
        "noise_share": _share(pairs.noise),
        "hard_pairs": len(pairs.ids),
    }
    report |= _scores(pairs) | _recurrence(pairs) | {"sampled_targets": len(targets)}
    for name, values in (("image", image_features), ("text", text_features)):
        if values is not None and len(targets):
            report |= _near(name, values, i, j, pairs.spec.k)
    if truth is not None:
        report |= _against(truth, pairs, i, j)
    return report


def sampled_targets(pairs: PairSet, most: int, seed: int = 0) -> np.ndarray:
    """Targets that have hard pairs, without repetition, in order."""
    good = np.flatnonzero(~pairs.noise)
    return np.sort(np.random.default_rng(seed).choice(good, min(most, len(good)), replace=False))


def _share(flags: np.ndarray) -> float | None:
    return float(np.mean(flags)) if len(flags) else None


def _scores(pairs: PairSet) -> dict[str, Any]:
    if not len(pairs.ids):
        return {}
    step = max(1, len(pairs.scores_flat) // 1_000_000)
    values = np.percentile(pairs.scores_flat[::step], QUANTILES)
    return {"score_quantiles": {f"{q}%": round(float(v), 5) for q, v in zip(QUANTILES, values, strict=True)}}


def _recurrence(pairs: PairSet) -> dict[str, Any]:
    """How often the same sample is somebody's hard pair, and how often a pair is mined from both its ends."""
    if not len(pairs.ids):
        return {}
    times = np.bincount(pairs.ids, minlength=pairs.corpus_size)
    targets = sampled_targets(pairs, TARGETS)
    inside = [(t, j - pairs.first) for t in targets for j in pairs.hard(t)[:20] if 0 <= j - pairs.first < len(pairs)]
    mutual = [t + pairs.first in pairs.hard(j) for t, j in inside]
    return {
        "samples_never_chosen": _share(times == 0),
        "times_chosen": {"median": float(np.median(times)), "99%": float(np.percentile(times, 99)), "most": int(times.max())},
        "chosen_by_the_commonest_1%": float(np.sort(times)[-max(1, len(times) // 100) :].sum() / times.sum()),
        "mutual_pairs": _share(np.array(mutual)),
    }


def _near(name: str, values: np.ndarray, i: np.ndarray, j: np.ndarray, k: int) -> dict[str, Any]:
    """Of one modality: pairs that are nearly the same sample, and lists that name nearly the same sample twice."""
    features = checked(name, values[np.unique(np.concatenate([i, j]))])
    place = np.searchsorted(np.unique(np.concatenate([i, j])), np.stack([i, j]))
    with torch.inference_mode():
        near = [cosines(features.rows(torch.from_numpy(a)), features.rows(torch.from_numpy(b))) > NEAR for a, b in _chunks(*place)]
        twice = [_named_twice(features.rows(torch.from_numpy(place[1][start : start + k]))) for start in range(0, len(i), k)]
    return {f"{name}_nearly_the_same": _share(torch.cat(near).numpy()), f"{name}_repeats_in_list": _share(np.concatenate(twice))}


def _chunks(i: np.ndarray, j: np.ndarray, size: int = 8192):
    return ((i[start : start + size], j[start : start + size]) for start in range(0, len(i), size))


def _named_twice(x_KD: torch.Tensor) -> np.ndarray:
    """[k] whether an earlier entry of the list is nearly the same sample."""
    return (torch.tril(x_KD @ x_KD.T, -1) > NEAR).any(1).numpy()


def _against(truth: Truth, pairs: PairSet, i: np.ndarray, j: np.ndarray) -> dict[str, Any]:
    """False negatives among the hard pairs, how alike they are beside random pairs, and the noise flags as a detector of mismatches."""
    wrong = np.asarray(truth.mismatched)[pairs.first : pairs.first + len(pairs)]
    caught = int((wrong & pairs.noise).sum())
    report = {
        "mismatched_share": _share(wrong),
        "noise_precision": caught / int(pairs.noise.sum()) if pairs.noise.any() else None,
        "noise_recall": caught / int(wrong.sum()) if wrong.any() else None,
    }
    if not len(i):
        return report
    other = np.random.default_rng(0).integers(0, pairs.corpus_size, len(i))
    for name, second in (("hard_pairs", j), ("random_pairs", other)):
        report |= {
            f"{name}_false_negative": _share(truth.caption_true_of(second, i)),
            f"{name}_same_concept": _share(truth.same_concept(i, second)),
            f"{name}_attributes_shared": float(np.mean(truth.attribute_overlap(i, second))),
        }
    return report


def near_duplicates(features: np.ndarray | str, threshold: float = NEAR, most: int = TARGETS, seed: int = 0) -> dict[str, Any]:
    """How many samples have a near-duplicate elsewhere in the corpus: what max_similarity would drop. faiss, on a sample of targets."""
    import faiss

    one = checked("sampled", load(features) if isinstance(features, str) else features)
    ids = np.sort(np.random.default_rng(seed).choice(len(one), min(most, len(one)), replace=False))
    wanted, best = one.rows(torch.from_numpy(ids)).numpy(), np.full(len(ids), -1.0, np.float32)
    for start in range(0, len(one), 65_536):  # the corpus goes by in blocks: nothing of size N x D is made
        index = faiss.IndexFlatIP(one.padded_dim)
        index.add(one.rows(slice(start, start + 65_536)).numpy())
        near, found = index.search(wanted, min(2, index.ntotal))
        best = np.maximum(best, np.where(found + start == ids[:, None], -1, near).max(1))
    return {"sampled": len(ids), "threshold": threshold, "with_a_near_duplicate": _share(best > threshold)}


def lines(report: dict[str, Any]) -> list[str]:
    """The report for a terminal."""

    def shown(value: Any) -> str:
        match value:
            case float():
                return f"{value:.4g}"
            case dict():
                return ", ".join(f"{name} {shown(one)}" for name, one in value.items())
            case _:
                return str(value)

    return [f"{name.replace('_', ' ')}: {shown(value)}" for name, value in report.items() if value is not None]
