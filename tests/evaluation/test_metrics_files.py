"""The metrics files of a study's checkpoint: all that the study declares, as the reporting reads them."""

import json

import pytest
from tiny_sets import write_model

from helip.cli import main
from helip.errors import HelipError
from helip.evaluation.building import build_evaluation_set
from helip.reporting.measured import Metrics
from helip.stages import BuildEvaluationSet, How, artefact, make, metrics_file, model_of
from helip.study import Study

RUN, SEED = "cc3m_clip", "0"


@pytest.fixture(scope="module")
def study(project, tmp_path_factory):
    """The smoke study with its evaluation sets, and a random model in the place of a trained one."""
    study = Study("smoke", experiments=project / "experiments", results=tmp_path_factory.mktemp("results"))
    for name, declaration in study.declaration.evaluation.items():
        build_evaluation_set(name, declaration, BuildEvaluationSet(study, name).folder)
    write_model(model_of(study, RUN, SEED).folder)
    (model_of(study, RUN, SEED).folder / "train.json").write_text('{"recovered_share": 0.63}')
    return study


def evaluate(study, stage="evaluate", run=RUN, seed=SEED):
    assert make(artefact(study, stage, (run, seed)), How()) == 0


def expected(study, stage):
    return {metrics_file(study, RUN, SEED, *task) for task in study.tasks(stage)}


def test_evaluate_and_probe_write_what_the_study_declares(study):
    evaluate(study)
    assert all(path.is_file() for path in expected(study, "evaluate"))
    assert not any(path.exists() for path in expected(study, "probe"))
    evaluate(study, "probe")
    for path in expected(study, "evaluate") | expected(study, "probe"):
        check(Metrics(path))


def check(metrics):
    content = metrics.content
    assert (content["study"], content["run"], content["seed"], content["split"], content["n"]) == ("smoke", RUN, SEED, "test", 60)
    assert f"{content['set']}.{content['task']}.json" == metrics.path.name
    assert len(content["digests"]["checkpoint"]) == 64 and content["recovered_share"] == 0.63
    assert content["declaration"]["kind"] == "generated"
    wanted = {
        "zeroshot": {"acc1", "acc5", "mean_per_class_recall"},
        "probe": {"acc1", "mean_per_class_recall"},
        "retrieval": {f"{side}_recall_at_{k}" for side in ("image", "text") for k in (1, 5, 10)},
    }
    assert set(content["metrics"]) == wanted[content["task"]]
    for name in content["per_item"]:
        hits = metrics.hits(name)
        assert metrics.value(name) == pytest.approx(100 * hits.mean())
        assert len(hits) >= 60
    assert content["per_item"].keys() == (
        {f"{way}_recall_at_{k}" for way in ("image", "text") for k in (1, 5, 10)} if content["task"] == "retrieval" else {"acc1"}
    )
    if content["task"] == "zeroshot":
        assert {"class_names", "templates", "images"} <= content["digests"].keys()


def test_a_second_evaluation_says_the_same(study):
    evaluate(study)
    before = {p: json.loads(p.read_text()) for p in expected(study, "evaluate")}
    evaluate(study)
    for path, earlier in before.items():
        now = json.loads(path.read_text())
        assert now | {"written": 0, "job": 0} == earlier | {"written": 0, "job": 0}


def test_an_unknown_run_or_seed_is_refused(study):
    with pytest.raises(HelipError, match="'cc9m_clip' cannot be built"):
        evaluate(study, run="cc9m_clip")
    with pytest.raises(HelipError, match="has seeds 0, 1, not 7"):
        evaluate(study, seed="7")


def test_a_run_that_was_not_trained_is_refused(study):
    with pytest.raises(HelipError, match=r"seed1/open_clip_model.safetensors: is not there, and evaluate cc3m_clip seed 1 needs it"):
        evaluate(study, seed="1")
    assert not metrics_file(study, RUN, "1", "imagenet", "zeroshot").exists()


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--model is missing: NAME@TAG"),
        (["--study", "smoke", RUN], "--study is no longer an option; the stages of a study are run by `helip run STUDY STAGE KEY ...`"),
        (["--model", "m", "--set", "s"], "--out is missing: the metrics file to write (JSON)"),
    ],
)
def test_half_a_command_is_refused(arguments, words, capsys):
    assert main(["evaluate", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_probe_of_a_retrieval_set_is_refused(retrieval, model_folder, tmp_path, capsys):
    assert main(["probe", "--model", str(model_folder), "--set", str(retrieval), "--out", str(tmp_path / "o.json")]) == 2
    assert "a linear probe needs labels" in capsys.readouterr().err
    assert not (tmp_path / "o.json").exists()
