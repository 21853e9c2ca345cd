"""The metrics files of a study's checkpoint: all that the study declares, as the reporting reads them."""

import json

import pytest
from tiny_sets import write_model

from helip.cli import main
from helip.errors import HelipError
from helip.evaluation.building import build_evaluation_set
from helip.reporting.measured import Metrics
from helip.stages.evaluate import evaluate_run
from helip.study import Study

RUN, SEED = "cc3m_clip", "0"


@pytest.fixture(scope="module")
def study(project, tmp_path_factory):
    """The smoke study with its evaluation sets, and a random model in the place of a trained one."""
    study = Study("smoke", experiments=project / "experiments", results=tmp_path_factory.mktemp("results"))
    for name, declaration in study.declaration.evaluation.items():
        build_evaluation_set(name, declaration, study.evaluation_dir(name))
    write_model(study.model_dir(RUN, SEED))
    (study.model_dir(RUN, SEED) / "train.json").write_text('{"recovered_share": 0.63}')
    return study


def expected(study, stage):
    return {study.metrics_file(RUN, SEED, *task) for task in study.tasks(stage)}


def test_evaluate_and_probe_write_what_the_study_declares(study):
    assert set(evaluate_run(study, RUN, SEED, "evaluate")) == expected(study, "evaluate")
    assert all(path.is_file() for path in expected(study, "evaluate"))
    assert not any(path.exists() for path in expected(study, "probe"))
    assert set(evaluate_run(study, RUN, SEED, "probe")) == expected(study, "probe")
    for path in expected(study, "evaluate") | expected(study, "probe"):
        check(Metrics(path))


def check(metrics):
    said = metrics.content
    assert (said["study"], said["run"], said["seed"], said["split"], said["n"]) == ("smoke", RUN, SEED, "test", 60)
    assert f"{said['set']}.{said['task']}.json" == metrics.path.name
    assert len(said["digests"]["checkpoint"]) == 64 and said["recovered_share"] == 0.63
    assert said["declaration"]["kind"] == "generated"
    wanted = {
        "zeroshot": {"acc1", "acc5", "mean_per_class_recall"},
        "probe": {"acc1", "mean_per_class_recall"},
        "retrieval": {f"{side}_recall_at_{k}" for side in ("image", "text") for k in (1, 5, 10)},
    }
    assert set(said["metrics"]) == wanted[said["task"]]
    for name in said["per_item"]:
        hits = metrics.hits(name)
        assert metrics.value(name) == pytest.approx(100 * hits.mean())
        assert len(hits) >= 60
    assert said["per_item"].keys() == (
        {f"{way}_recall_at_{k}" for way in ("image", "text") for k in (1, 5, 10)} if said["task"] == "retrieval" else {"acc1"}
    )
    if said["task"] == "zeroshot":
        assert {"class_names", "templates", "images"} <= said["digests"].keys()


def test_a_second_evaluation_says_the_same(study):
    evaluate_run(study, RUN, SEED, "evaluate")
    before = {p: json.loads(p.read_text()) for p in expected(study, "evaluate")}
    evaluate_run(study, RUN, SEED, "evaluate")
    for path, said in before.items():
        now = json.loads(path.read_text())
        assert now | {"written": 0, "job": 0} == said | {"written": 0, "job": 0}


def test_an_unknown_run_or_seed_is_refused(study):
    with pytest.raises(HelipError, match="'cc9m_clip' cannot be built"):
        evaluate_run(study, "cc9m_clip", SEED, "evaluate")
    with pytest.raises(HelipError, match="has seeds 0, 1, not 7"):
        evaluate_run(study, RUN, "7", "evaluate")


def test_a_run_that_was_not_trained_is_refused(study):
    with pytest.raises(HelipError, match=r"seed1/open_clip_model.safetensors: not found; train the run first"):
        evaluate_run(study, RUN, "1", "evaluate")
    assert not study.metrics_file(RUN, "1", "imagenet", "zeroshot").exists()


# ---------------------------------------------------------------- the command line, for a user's own model and set


def test_a_users_own_model_and_set(classification, retrieval, model_folder, tmp_path, capsys):
    for command, folder, metric in (
        ("evaluate", classification, "acc1"),
        ("probe", classification, "acc1"),
        ("evaluate", retrieval, "text_recall_at_5"),
    ):
        out = tmp_path / f"{command}-{folder.name}.json"
        assert main([command, "--model", str(model_folder), "--set", str(folder), "--out", str(out)]) == 0
        assert 0 <= Metrics(out).value(metric) <= 100
        assert f"{metric} {Metrics(out).value(metric):.2f}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--study", "smoke", RUN], ["--model", "m", "--set", "s"]])
def test_half_said_is_refused(arguments, capsys):
    assert main(["evaluate", *arguments]) == 2
    assert "give either --study S RUN --seed N, or --model MODEL --set FOLDER --out FILE" in capsys.readouterr().err


def test_a_probe_of_a_retrieval_set_is_refused(retrieval, model_folder, tmp_path, capsys):
    assert main(["probe", "--model", str(model_folder), "--set", str(retrieval), "--out", str(tmp_path / "o.json")]) == 2
    assert "a linear probe needs labels" in capsys.readouterr().err
    assert not (tmp_path / "o.json").exists()
