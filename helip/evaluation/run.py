"""The result of one model on one set, and the metrics file that every table is made of."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helip.evaluation import metrics, probe
from helip.evaluation.extraction import Extractor
from helip.evaluation.metrics import Result
from helip.evaluation.sets import EvaluationSet
from helip.io import provenance, write_json


def result_of(extractor: Extractor, data: EvaluationSet, task: str) -> Result:
    """Returns the result of `task` (zeroshot, retrieval or probe) for one model on one set. Raises ValueError for another task."""
    match task:
        case "zeroshot":
            return metrics.zeroshot(extractor, data)
        case "retrieval":
            return metrics.retrieval(extractor, data)
        case "probe":
            return probe.probe(extractor, data)
    raise ValueError(task)


def write_metrics(path: Path, facts: dict[str, Any], result: Result, extractor: Extractor, declaration: Any) -> None:
    """Writes one metrics file: `facts` (which model, set and task), the metrics, each item's hits packed, and the provenance."""
    model = extractor.model
    digests = result.digests | {"checkpoint": model.checkpoint, "preprocessing": model.preprocessing}
    content = facts | {
        "split": result.split,
        "n": result.n,
        "metrics": result.metrics,
        "per_item": {name: packed(hits, result.together.get(name, 1)) for name, hits in result.hits.items()},
        "details": result.details,
        "digests": digests,
    }
    write_json(path, content | provenance(declaration, digests))


def packed(hits_N: torch.Tensor, together: int | list[int] = 1) -> dict[str, Any]:
    """Returns hits as base64, eight items a byte, the first in the highest bit (np.packbits).

    `length` is the number of items, of which each `together` in a row are of one image; a list says it of each image.
    """
    return {"bits": base64.b64encode(np.packbits(hits_N.numpy()).tobytes()).decode(), "length": len(hits_N), "together": together}
