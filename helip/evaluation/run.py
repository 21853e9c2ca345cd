"""One model on its sets: the metrics files that every table is made of."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helip.evaluation import metrics, probe
from helip.evaluation.extraction import Extractor
from helip.evaluation.metrics import Result
from helip.evaluation.model import load
from helip.evaluation.sets import EvaluationSet, of_declaration
from helip.io import provenance, read_json, write_json
from helip.study import Study


def evaluate_run(study: Study, run: str, seed: str, stage: str, workers: int = 0) -> list[Path]:
    """Write the metrics files of `stage` (evaluate or probe) for one checkpoint of a study; returns their paths."""
    study.train_inputs(run, seed)  # refuses unknown names and seeds
    folder = study.model_dir(run, seed)
    model, trained = load(f"local-dir:{folder}"), read_json(folder / "train.json")
    extractor = Extractor(model, study.root / "cache", workers)
    written = []
    for name, task in study.tasks(stage):
        declaration = study.declaration.evaluation[name]
        data = of_declaration(name, declaration, study.evaluation_dir(name))
        said = {"study": study.name, "run": run, "seed": seed, "set": name, "task": task}
        said["recovered_share"] = trained.get("recovered_share")  # of the corpus that it was trained on, if that is known
        path = study.metrics_file(run, seed, name, task)
        write_metrics(path, said, result_of(extractor, data, task), extractor, declaration)
        written.append(path)
    return written


def result_of(extractor: Extractor, data: EvaluationSet, task: str) -> Result:
    match task:
        case "zeroshot":
            return metrics.zeroshot(extractor, data)
        case "retrieval":
            return metrics.retrieval(extractor, data)
        case "probe":
            return probe.probe(extractor, data)
    raise ValueError(task)


def write_metrics(path: Path, said: dict[str, Any], result: Result, extractor: Extractor, declaration: Any) -> None:
    model = extractor.model
    digests = result.digests | {"checkpoint": model.checkpoint, "preprocessing": model.preprocessing}
    content = said | {
        "split": result.split,
        "n": result.n,
        "metrics": result.metrics,
        "per_item": {name: packed(hits, result.together.get(name, 1)) for name, hits in result.hits.items()},
        "details": result.details,
        "digests": digests,
    }
    write_json(path, content | provenance(declaration, digests))


def packed(hits_N: torch.Tensor, together: int = 1) -> dict[str, Any]:
    """Eight items a byte, the first in the highest bit (np.packbits), as base64; `length` is the number of items, of which each
    `together` in a row are of one image."""
    return {"bits": base64.b64encode(np.packbits(hits_N.numpy())).decode(), "length": len(hits_N), "together": together}
