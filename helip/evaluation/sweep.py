"""Mixtures of a refined model and its start (WiSE-FT, arXiv 2109.01903), compared on a validation set by retrieval in both directions."""

import tempfile
from pathlib import Path
from typing import Any

from helip.evaluation.extraction import Extractor
from helip.evaluation.metrics import retrieval
from helip.evaluation.model import load
from helip.evaluation.sets import EvaluationSet
from helip.io import provenance, write_json
from helip.models import interpolation
from helip.models.network import offline_if_unreachable

BOTH = ("image_recall_at_1", "text_recall_at_1")


def sweep(
    start: Path, refined: Path, weights: tuple[float, ...], data: EvaluationSet, out: Path, cache: Path | None, inputs: dict[str, str],
    device: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Writes `out` (JSON) and returns it: `scores`, weight -> mean recall at 1 in percent, and `best`, the weight of the highest score.

    Of equal scores the smallest weight is taken: it forgets least.
    """
    offline_if_unreachable()
    scores: dict[float, float] = {}
    for weight in sorted(weights):
        with tempfile.TemporaryDirectory(prefix="helip-sweep-") as place:
            mixed = refined if weight == 1 else Path(place) / "mixed"
            if weight != 1:
                interpolation.write(str(start), refined, weight, mixed)
            metrics = retrieval(Extractor(load(f"local-dir:{mixed}", device), cache), data).metrics
        scores[weight] = sum(metrics[name] for name in BOTH) / len(BOTH)
    best = max(scores, key=lambda weight: (scores[weight], -weight))
    result = {"set": data.name, "scores": {f"{weight:g}": score for weight, score in scores.items()}, "best": best}
    write_json(out, result | provenance({"weights": list(weights)}, inputs))
    return result
