import json
import sys

import pytest

from helip.reporting.tracking import import_study
from helip.stages import metrics_file, model_of

TRAINED = ("cc3m_clip", "cc3m_clip_control", "cc3m_clip_cleaned", "cc3m_clip_helip")


@pytest.fixture
def trained(measured):
    """Four runs, as if their trainings had ended."""
    for run in map(measured.run, TRAINED):
        for seed in run.seeds:
            folder = model_of(measured, run.name, seed).folder
            folder.mkdir(parents=True)
            folder.joinpath("train.json").write_text(
                json.dumps(
                    {
                        "declaration": run.recipe.model_dump(mode="json"),
                        "commit": "abc",
                        "host": "here",
                        "written": "now",
                        "recovered_share": 0.63,
                    }
                    | ({"warnings": ["step 4: retention fell", "captions cut"]} if run.arm == "helip" else {})
                )
            )
            folder.joinpath("curve.csv").write_text("step,loss,samples_per_second\n0,4.5,100\n1,4.25,110\n")
    return measured


def stored(store):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("smoke")
    return client, {r.data.tags["helip.key"]: r for r in client.search_runs([experiment.experiment_id], max_results=1000)}


def test_runs_are_tracked_once_with_metrics_and_lineage(trained, tmp_path):
    store = tmp_path / "store.db"
    trainings = sum(len(trained.run(name).seeds) for name in TRAINED)
    assert import_study(trained, store) == {"imported": trainings, "unchanged": 0}
    assert import_study(trained, store) == {"imported": 0, "unchanged": trainings}
    client, runs = stored(store)
    run = runs["smoke/cc3m_clip_helip/seed1"]
    assert run.data.params["gamma"] == "1.0"
    assert run.data.params["objective.name"] == "clip"
    assert run.data.metrics["imagenet.zeroshot.acc1"] == 30.0
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "train.loss")] == [(0, 4.5), (1, 4.25)]
    assert run.data.tags["helip.start"] == "smoke/cc3m_clip/seed1"
    assert run.data.tags["helip.pairs"] == "cc3m.hpm.dino_vits8.sentence"
    assert run.data.tags["helip.warnings"] == "step 4: retention fell\ncaptions cut"
    assert run.data.tags["helip.recovered_share"] == "0.6300"
    assert "retention fell" in run.data.tags["mlflow.note.content"]
    assert "helip.warnings" not in runs["smoke/cc3m_clip/seed1"].data.tags

    path = metrics_file(trained, "cc3m_clip", "0", "imagenet", "zeroshot")
    path.write_text(path.read_text().replace("25.0", "26.0"))
    assert import_study(trained, store) == {"imported": 1, "unchanged": trainings - 1}
    _, runs = stored(store)
    assert len(runs) == trainings
    assert runs["smoke/cc3m_clip/seed0"].data.metrics["imagenet.zeroshot.acc1"] == 26.0


def test_reporting_never_imports_torch():
    import subprocess

    code = "import sys, helip.reporting.pages, helip.reporting.tracking; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
