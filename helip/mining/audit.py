"""A short audit of a pair set: is what was mined hard, varied and true? Sampled, seconds long, the same sample every time."""

import base64
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helip.io import atomic_file
from helip.mining.features import checked, cosines
from helip.mining.pairs import PairSet
from helip.mining.references import Truth

TARGETS = 2_000  # sampled for what needs truth or features
ENTRIES = 200_000  # hard pairs of them whose features are looked at
NEAR = 0.98  # a cosine above which two samples are nearly the same
LEVELS = (0.9, 0.95, 0.98, 0.995)  # values of max_similarity that a near-duplicate report speaks of
COMPARED = 1_000_000_000  # pairs that it looks at
BLOCK = 16_384  # rows of the corpus at a time
QUANTILES = (1, 5, 25, 50, 75, 95, 99)
STYLE = """body{font:13px sans-serif;margin:1em}section{display:flex;gap:8px;overflow-x:auto;border-top:1px solid #ccc;padding:8px 0}
figure{margin:0;flex:0 0 132px}figure.target{border-right:3px solid #444;padding-right:8px}
img{width:128px;height:128px;object-fit:contain;background:#eee}
figcaption{overflow-wrap:anywhere}b{font-weight:600}"""
Show = Callable[[int], tuple[bytes, str]]  # sample id -> its image's bytes as a browser reads them, its caption


def audit(
    pairs: PairSet, image_features: np.ndarray | None = None, text_features: np.ndarray | None = None, truth: Truth | None = None
) -> dict[str, Any]:
    """Returns the report of an audit, as plain JSON values.

    features: [N, D] as they were mined, None for a modality that was not. truth: what a generated corpus knows of itself, None for others.
    Pairs that `keep` left out of the mining count nowhere.
    """
    targets, noise = sampled_targets(pairs, TARGETS), pairs.noise[pairs.mined]
    i, j = _entries(pairs, targets)
    report: dict[str, Any] = {
        "targets": len(noise),
        "noise_targets": int(noise.sum()),
        "noise_share": _share(noise),
        "hard_pairs": len(pairs.ids),
    }
    report |= _scores(pairs) | _recurrence(pairs) | {"sampled_targets": len(targets)}
    for name, values in (("image", image_features), ("text", text_features)):
        if values is not None and len(targets):
            report |= _near(name, values, pairs, targets[:: -(-len(j) // ENTRIES)])
        if values is not None:
            report[f"{name}_near_duplicates"] = near_duplicates(values, among=_mined(pairs))
    if truth is not None:
        report |= _against(truth, pairs, i, j)
    return report


def sampled_targets(pairs: PairSet, most: int, seed: int = 0) -> np.ndarray:
    """Returns at most `most` targets that have hard pairs, drawn without replacement, in order."""
    good = np.flatnonzero(np.diff(pairs.offsets))
    return np.sort(np.random.default_rng(seed).choice(good, min(most, len(good)), replace=False))


def _mined(pairs: PairSet) -> np.ndarray:
    """Corpus ids of the samples that could be chosen."""
    return np.arange(pairs.corpus_size) if pairs.kept is None else np.flatnonzero(pairs.kept)


def _entries(pairs: PairSet, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(i, j), corpus ids of all entries of these targets."""
    lists = [pairs.hard(t) for t in targets]
    return np.repeat(targets + pairs.first, [len(one) for one in lists]), np.concatenate([np.zeros(0, np.int32), *lists])


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
    times = np.bincount(pairs.ids, minlength=pairs.corpus_size)[_mined(pairs)]
    targets = sampled_targets(pairs, TARGETS)
    inside = [(t, j - pairs.first) for t in targets for j in pairs.hard(t)[:20] if 0 <= j - pairs.first < len(pairs)]
    mutual = [t + pairs.first in pairs.hard(j) for t, j in inside]
    return {
        "samples_never_chosen": _share(times == 0),
        "times_chosen": {"median": float(np.median(times)), "99%": float(np.percentile(times, 99)), "most": int(times.max())},
        "chosen_by_the_commonest_1%": float(np.sort(times)[-max(1, len(times) // 100) :].sum() / times.sum()),
        "mutual_pairs": _share(np.array(mutual)),
    }


def _near(name: str, values: np.ndarray, pairs: PairSet, targets: np.ndarray) -> dict[str, Any]:
    """Of one modality: pairs that are nearly the same sample, and lists that name nearly the same sample twice."""
    near, twice, together = [], [], max(1, BLOCK // pairs.spec.k)
    with torch.inference_mode():
        for start in range(0, len(targets), together):
            i, j = _entries(pairs, targets[start : start + together])
            x_ED = checked(name, values[j]).rows(slice(None))
            own, place = np.unique(i, return_inverse=True)
            near.append((cosines(checked(name, values[own]).rows(slice(None))[place], x_ED) > NEAR).numpy())
            twice += [_named_twice(x_KD) for x_KD in torch.split(x_ED, np.bincount(place).tolist())]
    return {f"{name}_nearly_the_same": _share(np.concatenate(near)), f"{name}_repeats_in_list": _share(np.concatenate(twice))}


def _named_twice(x_KD: torch.Tensor) -> np.ndarray:
    """[k] whether an earlier entry of the list is nearly the same sample."""
    return (torch.tril(x_KD @ x_KD.T, -1) > NEAR).any(1).numpy()


def _against(truth: Truth, pairs: PairSet, i: np.ndarray, j: np.ndarray) -> dict[str, Any]:
    """False negatives among the hard pairs, how alike they are beside random pairs, and the noise flags as a detector of mismatches."""
    wrong, noise = np.asarray(truth.mismatched)[pairs.first : pairs.first + len(pairs)][pairs.mined], pairs.noise[pairs.mined]
    caught = int((wrong & noise).sum())
    report = {
        "mismatched_share": _share(wrong),
        "noise_precision": caught / int(noise.sum()) if noise.any() else None,
        "noise_recall": caught / int(wrong.sum()) if wrong.any() else None,
    }
    if not len(i):
        return report
    others = _mined(pairs)
    other = others[np.random.default_rng(0).integers(0, len(others), len(i))]
    for name, second in (("hard_pairs", j), ("random_pairs", other)):
        report |= {
            f"{name}_false_negative": _share(truth.caption_true_of(second, i)),
            f"{name}_same_concept": _share(truth.same_concept(i, second)),
            f"{name}_attributes_shared": float(np.mean(truth.attribute_overlap(i, second))),
        }
    return report


def near_duplicates(features: np.ndarray, most: int = TARGETS, seed: int = 0, among: np.ndarray | None = None) -> dict[str, Any]:
    """Returns which share of a sample of the corpus has another sample nearer than each of LEVELS: what `max_similarity` would drop.

    faiss searches the corpus in blocks, so no copy of it is made. features: [N, D], of any norm. among: ids of the rows that are searched,
    None for all.
    """
    import faiss

    rows = np.arange(len(features)) if among is None else among
    most = min(len(rows), most, max(100, COMPARED // len(rows)))
    ids = rows[np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))]
    wanted, best = checked("sampled", features[ids]).rows(slice(None)).numpy(), np.full(len(ids), -1.0, np.float32)
    for start in range(0, len(rows), BLOCK):
        here = rows[start : start + BLOCK]
        block = checked("corpus", features[here]).rows(slice(None)).numpy()
        near, place = faiss.knn(wanted, block, min(2, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        best = np.maximum(best, np.where(here[place] == ids[:, None], -1, near).max(1))
    return {"sampled": len(ids)} | {f"> {level:g}": _share(best > level) for level in LEVELS}


def lines(report: dict[str, Any]) -> list[str]:
    """Returns a report as lines for a terminal."""

    def shown(value: Any) -> str:
        match value:
            case float():
                return f"{value:.4g}"
            case dict():
                return ", ".join(f"{name} {shown(one)}" for name, one in value.items())
            case _:
                return str(value)

    return [f"{name.replace('_', ' ')}: {shown(value)}" for name, value in report.items() if value is not None]


def sheet(pairs: PairSet, show: Show, path: Path, *, targets: int = 50, each: int = 9, title: str = "") -> None:
    """Writes an HTML file with `targets` rows, each of a target and `each` of its hard pairs, best first, and a row of noise targets."""
    rows = [_row(pairs, show, int(t), each) for t in sampled_targets(pairs, targets)]
    noise = (pairs.noise & pairs.mined).nonzero()[0][: each + 1]
    if len(noise):
        rows.append(
            "<h2>noise: fewer than k pairs count</h2><section>" + "".join(_figure(show, int(t) + pairs.first) for t in noise) + "</section>"
        )
    head = f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1>"
    with atomic_file(path) as temporary:
        temporary.write_text(head + "\n".join(rows), encoding="utf-8")


def _row(pairs: PairSet, show: Show, target: int, each: int) -> str:
    hard = zip(pairs.hard(target)[:each], pairs.scores(target)[:each], strict=True)
    return f"<section>{_figure(show, target + pairs.first, 'target')}{''.join(_figure(show, int(j), score=s) for j, s in hard)}</section>"


def _figure(show: Show, sample: int, kind: str = "hard", score: float | None = None) -> str:
    image, caption = show(sample)
    label = f"<b>{sample}</b>" + (f" {score:.3f}" if score is not None else "")
    source = f"data:image;base64,{base64.b64encode(image).decode()}"
    return f"<figure class={kind}><img src='{source}' alt=''><figcaption>{label}<br>{html.escape(caption)}</figcaption></figure>"
