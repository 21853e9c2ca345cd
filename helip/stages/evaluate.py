"""The stages `evaluate` and `probe`: one checkpoint of a study on all its evaluation sets."""

from pathlib import Path

from helip.evaluation.extraction import Extractor
from helip.evaluation.model import load
from helip.evaluation.run import result_of, write_metrics
from helip.evaluation.sets import of_declaration
from helip.io import read_json
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
        facts = {"study": study.name, "run": run, "seed": seed, "set": name, "task": task}
        facts["recovered_share"] = trained.get("recovered_share")  # of the corpus that it was trained on, if that is known
        path = study.metrics_file(run, seed, name, task)
        write_metrics(path, facts, result_of(extractor, data, task), extractor, declaration)
        written.append(path)
    return written
