"""The smoke study from declaration to number, with real jobs."""

import csv
import json
import shutil

import pytest

from helip.planning import artefacts, summary
from helip.study import Study

ARMS = {"CLIP": "start", "CLIP, control": "control", "CLIP, cleaned": "cleaned", "CLIP-HELIP": "helip"}


def table(workspace) -> list[dict[str, str]]:
    with open(workspace.folder / "results/smoke/table1.csv", newline="") as f:
        return list(csv.DictReader(f))


def copy(workspace, folder):
    shutil.copytree(workspace.folder, folder, symlinks=True)
    twin = object.__new__(type(workspace))
    twin.folder = folder
    return twin


def left(workspace) -> dict[str, int]:
    """Jobs by stage that `helip plan` counts as left."""
    study = Study("smoke", workspace.folder / "experiments", workspace.folder / "results")
    return {line.stage: line.left for line in summary(study, artefacts(study, ["table1"])) if line.left}


def test_table1_has_the_four_arms_on_three_sets(smoke):
    rows = table(smoke)
    assert {(r["method"], r["arm"]) for r in rows} == set(ARMS.items())
    assert len(rows) == 4 * 3
    assert all(0 <= float(r["value"]) <= 100 and r["n_seeds"] == "2" for r in rows)
    assert {r["published"] for r in rows if r["arm"] in ("control", "cleaned")} == {""}


def test_every_number_is_in_a_metrics_file(smoke):
    for row in table(smoke):
        name = f"results/smoke/metrics/{row['run']}/seed{{}}/{row['column']}.zeroshot.json"
        values = [json.loads((smoke.folder / name.format(s)).read_text())["metrics"]["acc1"] for s in (0, 1)]
        assert float(row["value"]) == pytest.approx(sum(values) / 2, abs=1e-4)


def test_a_second_run_schedules_nothing(smoke):
    assert smoke.planned("results/smoke/table1.csv", "results/smoke/tracking/table1.json") == {}
    assert left(smoke) == {}


def test_the_test_run_of_the_catalog_is_the_smoke_study(workspace, project):
    unmade = shutil.ignore_patterns("results", ".snakemake")
    shutil.copytree(project / ".test", workspace.folder / ".test", symlinks=True, ignore=unmade)
    planned = workspace.planned("results/smoke/table1.csv", directory=".test")
    assert planned == workspace.planned("results/smoke/table1.csv") and planned["table"] == 1


def test_snakemake_makes_its_own_report_with_captions(smoke, tmp_path):
    smoke.snakemake("--report", str(tmp_path / "report.html"), "--", "results/smoke/table1.csv")
    page = (tmp_path / "report.html").read_text()
    assert "table1 of study smoke: one row for each method and column" in page and '"Tables"' in page


def test_where_other_results_go_is_no_matter_of_the_graph(workspace, tmp_path):
    workspace.snakemake("results/smoke/evaluation/cifar10/evaluation.json", HELIP_RESULTS=str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_changed_setting_reruns_only_what_depends_on_it(smoke, tmp_path):
    changed = copy(smoke, tmp_path / "changed")
    study = changed.folder / "experiments/studies/smoke.yaml"
    study.write_text(study.read_text().replace("k: 5,", "k: 4,"))
    # pairs, and the two arms that use them, with two seeds each
    assert changed.planned("results/smoke/table1.csv") == {"mine": 1, "train": 4, "evaluate_smoke": 4, "table": 1}
    study.write_text(study.read_text().replace("k: 4,", "k: 5,").replace("question: Does", "# a comment\nquestion: Why does"))
    assert changed.planned("results/smoke/table1.csv") == {}


def test_a_changed_gamma_trains_helip_alone(smoke, tmp_path):
    changed = copy(smoke, tmp_path / "changed")
    runs = changed.folder / "experiments/paper/runs.yaml"
    runs.write_text(runs.read_text().replace("refine: {arm: helip}, question", "refine: {arm: helip, gamma: 0.5}, question"))
    assert changed.planned("results/smoke/table1.csv") == {"train": 2, "evaluate_smoke": 2, "table": 1}
    assert left(changed) == {"train": 2, "evaluate": 2, "table": 1}


def test_training_again_gives_the_same_numbers_bit_for_bit(smoke, tmp_path):
    again = copy(smoke, tmp_path / "again")
    before = (again.folder / "results/smoke/table1.csv").read_bytes()
    weights = again.folder / "results/smoke/models/cc3m_clip_helip/seed1/open_clip_model.safetensors"
    trained = weights.read_bytes()
    for part in ("models/cc3m_clip_helip", "models/cc3m_clip", "metrics", "state", "cache", "table1.csv"):
        path = again.folder / "results/smoke" / part
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    again.snakemake("results/smoke/table1.csv")
    assert weights.read_bytes() == trained
    assert (again.folder / "results/smoke/table1.csv").read_bytes() == before


def test_the_models_load_with_open_clip(smoke):
    import open_clip

    folder = smoke.folder / "results/smoke/models/cc3m_clip_helip/seed0"
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(["a red bird"])
    assert model.encode_text(tokens).shape == (1, 32)
    assert preprocess is not None


def test_mlflow_holds_every_training(smoke):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{smoke.folder / 'results/mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("smoke").experiment_id])
    kinds = [run.data.tags["helip.kind"] for run in runs]
    assert {kind: kinds.count(kind) for kind in kinds} == {"training": 8, "seeds": 4, "study": 1}
    one = next(r for r in runs if r.data.tags["helip.key"] == "smoke/cc3m_clip_helip/seed0")
    assert {"gain_over_control", "average_zeroshot", "on.imagenet", "on.flickr30k.image_to_text", "train.loss"} <= set(one.data.metrics)
    assert len(client.get_metric_history(one.info.run_id, "train.loss")) == 6


def test_a_failing_job_shows_its_sentence_and_loses_nothing(smoke, tmp_path):
    broken = copy(smoke, tmp_path / "broken")
    study = broken.folder / "experiments/studies/smoke.yaml"
    study.write_text(study.read_text().replace("k: 5,", "k: 5000,"))
    done = broken.snakemake("--quiet", "rules", "--", "results/smoke/table1.csv", check=False)
    assert done.returncode != 0
    sentence, log = done.stderr.splitlines()[-2:]  # the last words, as under every make target
    assert sentence.startswith("mine failed: helip run: k = 5000: a target has only 599 candidates")
    assert log == "  log: results/smoke/logs/mine/cc3m.hpm.dino_vits8.sentence.log"
    assert (broken.folder / "results/smoke/features/cc3m/sentence/features.npy").exists()


def test_a_mining_job_cut_into_shards_makes_the_same_bytes(smoke, tmp_path):
    cut = copy(smoke, tmp_path / "cut")
    study, pairs = cut.folder / "experiments/studies/smoke.yaml", "pairs/cc3m.hpm.dino_vits8.sentence"
    study.write_text(study.read_text() + "\nresources: {mine: {pairs_per_shard: 300}}\n")
    whole = {path.name: path.read_bytes() for path in (cut.folder / "results/smoke" / pairs).glob("*.npy")}
    shutil.rmtree(cut.folder / "results/smoke/pairs")
    assert cut.planned(f"results/smoke/{pairs}/pairs.json") == {"mine_shard": 2, "mine": 1}
    cut.snakemake(f"results/smoke/pair_shards/{pairs.removeprefix('pairs/')}/1of2")
    assert cut.planned(f"results/smoke/{pairs}/pairs.json") == {"mine_shard": 1, "mine": 1}  # the other was killed: it runs alone
    cut.snakemake(f"results/smoke/{pairs}/pairs.json")
    assert {path.name: path.read_bytes() for path in (cut.folder / "results/smoke" / pairs).glob("*.npy")} == whole
    assert len(whole) == 4
    assert not list((cut.folder / "results/smoke/pair_shards").rglob("*.npy"))
