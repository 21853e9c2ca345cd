import json
import re
import shutil
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from wide import write_metrics

from helip.errors import HelipError
from helip.reporting.provenance import provenance_of
from helip.reporting.tracking import server as tracking_server
from helip.reporting.tracking.importing import import_everywhere, import_study, import_to_server
from helip.reporting.tracking.runs import label
from helip.reporting.tracking.server import check_port, check_store, command, links
from helip.reporting.tracking.store import known_in_file, link_file
from helip.reporting.tracking.trainings import AVERAGE, GAIN, OVER_START, Trainings
from helip.stages import BuildCorpus, Mine, metrics_file, model_of

TRAINED = ("cc3m_clip", "cc3m_clip_control", "cc3m_clip_cleaned", "cc3m_clip_helip")
SETS = ("imagenet", "cifar10", "cifar100", "caltech101")  # those that the table of the question averages in this study


@pytest.fixture
def trained(measured):
    """Four runs, as if their trainings had ended: seed s of each gets level + s of 40 items right on every set."""
    BuildCorpus(measured, "cc3m").output.write_text(json.dumps({"size": 600, "digest": "0123456789abcdef" * 4}))
    for run, level in {"cc3m_clip": 10, "cc3m_clip_control": 12, "cc3m_clip_cleaned": 16, "cc3m_clip_helip": 11}.items():
        for seed in measured.run(run).seeds:
            write_metrics(measured, run, seed, "caltech101", np.arange(40) < level + int(seed))
            train(measured, run, seed)
    pairs = Mine(measured, "cc3m.hpm.dino_vits8.sentence").output
    pairs.parent.mkdir(parents=True)
    pairs.write_text(json.dumps({"targets": 600, "noise_targets": 460}))
    pairs.with_name("audit.html").write_text("audit")
    return measured


def train(study, run: str, seed: str) -> None:
    folder = model_of(study, run, seed).folder
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"commit": "abc-dirty", "host": "here", "written": "2026-11-01T10:00:30+00:00", "wall_clock_seconds": 12.0}
    facts |= {"job": {"begun": "2026-11-01T10:00:00+00:00"}, "recovered_share": 0.63}
    warnings = ["step 4: retention fell", "captions cut"] if study.run(run).arm == "helip" else []
    declared = {"declaration": study.run(run).recipe.model_dump(mode="json"), "warnings": warnings}
    (folder / "train.json").write_text(json.dumps(facts | declared))
    (folder / "curve.csv").write_text("step,loss,samples_per_second\n0,4.5,100\n1,4.25,110\n")


class Stored:
    """What a store shows of the study, through MLflow's client."""

    def __init__(self, store):
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=f"sqlite:///{store}")
        self.experiment = self.client.get_experiment_by_name("smoke")
        self.runs = {r.data.tags["helip.key"]: r for r in self.client.search_runs([self.experiment.experiment_id], max_results=1000)}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A store without runs: to make its tables takes MLflow seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("empty") / "store.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(trained, tmp_path, empty):
    shutil.copy(empty, tmp_path / "store.db")
    assert import_study(trained, tmp_path / "store.db") == {"imported": 8, "unchanged": 0}
    return tmp_path / "store.db"


def test_a_training_has_its_question_numbers_and_lineage(store):
    shown = Stored(store)
    assert len(shown.runs) == 8 + 4 + 1  # trainings, the parents of their seeds, the study
    run, start = shown.runs["smoke/cc3m_clip_helip/seed1"], shown.runs["smoke/cc3m_clip/seed1"]
    assert run.info.run_name == "s1 helip · cc3m_clip"
    assert (run.info.start_time, run.info.end_time) == (1793527200000, 1793527230000)  # as train.json says
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("Do mined hard pairs and the margin loss beat plain continued training?")
    assert f"[smoke/cc3m_clip/seed1](#/experiments/{shown.experiment.experiment_id}/runs/{start.info.run_id})" in note
    assert "retention fell" in note
    wanted = {"gamma": "1.0", "mining.method": "hpm", "mining.tau_image": "0.5", "mining.image_encoder": "dino_vits8", "seed": "1"}
    assert wanted | {"mining.share_dropped": "0.7667", "arm": "helip"} == {
        k: run.data.params[k] for k in [*wanted, "mining.share_dropped", "arm"]
    }
    assert run.data.metrics["on.imagenet"] == 30.0
    assert (run.data.metrics[AVERAGE], run.data.metrics[GAIN]) == (30.0, -2.5)
    assert sorted(run.data.metrics)[:2] == [AVERAGE, GAIN]  # MLflow's order
    assert [(m.step, m.value) for m in shown.client.get_metric_history(run.info.run_id, "train.loss")] == [(0, 4.5), (1, 4.25)]
    tags = {"helip.start": "smoke/cc3m_clip/seed1", "helip.pairs": "cc3m.hpm.dino_vits8.sentence", "helip.recovered_share": "0.6300"}
    tags |= {"mlflow.source.name": "helip run smoke train cc3m_clip_helip 1", "mlflow.source.git.commit": "abc"}
    assert tags.items() <= run.data.tags.items()
    assert "helip.warnings" not in start.data.tags
    used = {one.dataset.name: (one.dataset.digest, one.tags[0].value) for one in run.inputs.dataset_inputs}
    assert used["cc3m"] == (("0123456789abcdef" * 4)[:36], "training")
    assert {name for name, (_, context) in used.items() if context == "evaluation"} == {*SETS}


def test_files_of_a_run_are_its_artifacts(store, trained):
    shown = Stored(store)
    run = shown.runs["smoke/cc3m_clip_helip/seed1"].info.run_id
    assert {a.path for a in shown.client.list_artifacts(run)} == {"metrics", "model", "pairs"}
    assert {a.path for a in shown.client.list_artifacts(run, "pairs")} == {"pairs/audit.html", "pairs/pairs.json"}
    downloaded = shown.client.download_artifacts(run, "model/train.json")
    assert json.loads(Path(downloaded).read_text())["commit"] == "abc-dirty"


def test_seeds_stand_under_a_parent_with_their_gain(store):
    shown = Stored(store)
    parent = shown.runs["smoke/cc3m_clip_helip"]
    children = [shown.runs[f"smoke/cc3m_clip_helip/seed{seed}"] for seed in (0, 1)]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    metrics = parent.data.metrics
    assert (metrics[AVERAGE], metrics[GAIN]) == (28.75, -2.5)  # 11 and 12 of 40, against 12 and 13
    assert metrics[f"{GAIN}_low"] < -2.5 < metrics[f"{GAIN}_high"]
    assert parent.data.tags["helip.seeds"] == "2 of 2"
    assert parent.data.tags["mlflow.source.name"].endswith("smoke.yaml")


def test_a_controls_gain_is_over_its_start(store):
    shown = Stored(store)
    for key in ("cc3m_clip_control", "cc3m_clip_control/seed1"):  # 12 and 13 of 40, against 10 and 11
        metrics = shown.runs[f"smoke/{key}"].data.metrics
        assert metrics[OVER_START] == 5 and GAIN not in metrics


def test_the_experiment_opens_as_model_training(store, trained):
    shown = Stored(store)
    assert shown.experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert shown.experiment.tags["mlflow.note.content"] == trained.declaration.question
    (trained.root / "table1.csv").write_text("a table")
    (trained.root / "report.html").write_text("a page")
    assert import_study(trained, store) == {"imported": 0, "unchanged": 8}
    run = Stored(store).runs["smoke"].info.run_id
    assert {a.path for a in shown.client.list_artifacts(run)} == {"report.html", "table1.csv"}


def test_only_what_changed_is_imported_again(store, trained):
    before = Stored(store).runs
    write_metrics(trained, "cc3m_clip_helip", "0", "imagenet", np.arange(40) < 19, recovered_share=0.63)
    assert import_study(trained, store) == {"imported": 1, "unchanged": 7}
    after = Stored(store).runs
    assert after["smoke/cc3m_clip_helip/seed0"].data.metrics["on.imagenet"] == 47.5
    assert after["smoke/cc3m_clip_helip"].data.metrics["on.imagenet"] == 38.75  # its parent keeps its address
    kept = before.keys() - {"smoke/cc3m_clip_helip/seed0"}
    assert {key: before[key].info.run_id for key in kept} == {key: after[key].info.run_id for key in kept}
    folder = store.with_name("store-artifacts") / "smoke"
    assert {one.name for one in folder.iterdir()} <= {run.info.run_id for run in after.values()}  # nothing is left of what was replaced


def changed_recipe(study, run: str, **changes) -> None:
    resolved = study.runs[run]
    study.runs[run] = resolved.model_copy(update={"recipe": resolved.recipe.model_copy(update=changes)})


def test_how_often_a_training_saves_is_no_parameter(store, trained):
    before = Stored(store).runs["smoke/cc3m_clip_helip"]
    assert "save_every" not in before.data.params and "steps" in before.data.params
    changed_recipe(trained, "cc3m_clip_helip", save_every=7)
    write_metrics(trained, "cc3m_clip_helip", "0", "imagenet", np.arange(40) < 19, recovered_share=0.63)
    assert import_study(trained, store) == {"imported": 1, "unchanged": 7}
    after = Stored(store).runs["smoke/cc3m_clip_helip"]
    assert (after.info.run_id, after.data.metrics["on.imagenet"]) == (before.info.run_id, 38.75)


def test_a_parent_with_other_parameters_is_written_anew(store, trained):
    """MLflow refuses another value. A store may hold parameters that digests leave out, or defaults of older code."""
    before = Stored(store)
    old = before.runs["smoke/cc3m_clip_helip"]
    before.client.log_param(old.info.run_id, "save_every", "1")  # as an older import did
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE params SET value = '9' WHERE key = 'gamma' AND run_uuid = ?", (old.info.run_id,))
    write_metrics(trained, "cc3m_clip_helip", "0", "imagenet", np.arange(40) < 19, recovered_share=0.63)
    assert import_study(trained, store) == {"imported": 2, "unchanged": 6}  # both seeds have another parent now
    after = Stored(store).runs
    assert after["smoke/cc3m_clip_helip"].data.params["gamma"] == "1.0"
    parents = {after[f"smoke/cc3m_clip_helip/seed{seed}"].data.tags["mlflow.parentRunId"] for seed in (0, 1)}
    assert parents == {after["smoke/cc3m_clip_helip"].info.run_id} != {old.info.run_id}


def test_intervals_are_written_again_when_all_rows_are_there(trained, tmp_path, empty):
    """Their noise is estimated from every row of the table: early intervals rest on less."""
    last = metrics_file(trained, "cc3m_clip_cleaned", "1", "caltech101", "zeroshot")
    content, store = last.read_bytes(), shutil.copy(empty, tmp_path / "store.db")
    trained.tables = {name: _with_rows(table, TRAINED) for name, table in trained.tables.items()}
    last.unlink()
    import_study(trained, store)
    early = Stored(store).runs["smoke/cc3m_clip_helip"]
    last.write_bytes(content)
    assert import_study(trained, store) == {"imported": 1, "unchanged": 7}
    late = Stored(store).runs["smoke/cc3m_clip_helip"]
    assert late.info.run_id == early.info.run_id
    assert late.data.tags["helip.content"] != early.data.tags["helip.content"]


def _with_rows(table, runs):
    return table.model_copy(update={"rows": tuple(row for row in table.rows if row.run in runs)})


def test_an_import_without_news_never_opens_mlflow(store, trained, monkeypatch):
    monkeypatch.setattr("helip.reporting.tracking.importing.Tracked", None)  # whoever opens the store fails
    assert import_study(trained, store) == {"imported": 0, "unchanged": 8}


def test_a_store_of_another_schema_is_one_sentence(empty, trained, tmp_path):
    store = shutil.copy(empty, tmp_path / "old.db")
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '181f10493468'")
    upgrade = f"cp {store} {store}.old && .venv/bin/mlflow db upgrade sqlite:///{store}"
    for ask in (lambda: import_study(trained, store), lambda: check_store(store)):
        with pytest.raises(HelipError, match="was written by another version of MLflow") as error:
            ask()
        assert upgrade in str(error.value)


def test_a_moved_or_older_experiment_is_set_aside(store, trained):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    old = client.get_experiment_by_name("smoke")
    client.rename_experiment(old.experiment_id, "x")
    client.create_experiment("smoke", artifact_location="/elsewhere")
    assert import_study(trained, store)["imported"] == 8
    assert Stored(store).experiment.artifact_location == store.with_name("store-artifacts").joinpath("smoke").as_uri()


def test_a_server_that_is_down_costs_nothing(trained, tmp_path, monkeypatch, caplog, empty):
    shutil.copy(empty, tmp_path / "store.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert import_everywhere(trained, tmp_path / "store.db") == {"imported": 8, "unchanged": 0}
    assert "http://127.0.0.1:9: cannot be used" in caplog.text and "helip track smoke" in caplog.text


def test_short_names_tell_arms_apart(study):
    assert {label(study.run(name)) for name in TRAINED} == {
        "start · cc3m_clip",
        *(f"{a} · cc3m_clip" for a in ("control", "cleaned", "helip")),
    }


def test_runs_without_all_sets_have_no_average(trained):
    metrics_file(trained, "cc3m_clip_helip", "0", "imagenet", "zeroshot").unlink()
    names = [point.name for point in Trainings(trained).training("cc3m_clip_helip", "0").points]
    assert AVERAGE not in names and "on.cifar10" in names


def test_a_large_file_on_another_disk_is_left_out(tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError("another file system")

    monkeypatch.setattr("helip.reporting.tracking.store.os.link", refuse)
    monkeypatch.setattr("helip.reporting.tracking.store.SMALL", 3)
    for name, content in {"small": "abc", "large": "abcd"}.items():
        (tmp_path / name).write_text(content)
        link_file(tmp_path / name, tmp_path / "run" / name)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["small"]


def test_a_store_that_cannot_be_read_knows_nothing(tmp_path):
    (tmp_path / "store.db").write_text("no database")
    assert known_in_file(tmp_path / "store.db", "smoke") == known_in_file(tmp_path / "absent.db", "smoke") == {}
    with pytest.raises(HelipError, match="is no store of MLflow"):
        check_store(tmp_path / "store.db")
    with pytest.raises(HelipError, match="nothing is imported yet"):
        check_store(tmp_path / "absent.db")


def test_a_port_in_use_is_a_sentence(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HelipError, match=f"port {port} of 127.0.0.1 is in use .* make ui PORT={port + 1}"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_a_host_name_may_ask_and_be_asked(tmp_path):
    plain = command(tmp_path / "store.db", "127.0.0.1", 5000, "")
    assert plain[plain.index("--workers") + 1] == "1" and "--allowed-hosts" not in plain
    named = command(tmp_path / "store.db", "0.0.0.0", 5001, "login1, n2")
    assert {"localhost:*", "login1", "login1:*", "n2:*"} <= {*named[named.index("--allowed-hosts") + 1].split(",")}
    assert {"http://login1:*", "https://n2"} <= {*named[named.index("--cors-allowed-origins") + 1].split(",")}


def test_our_plugin_is_used_where_it_is_installed(tmp_path, monkeypatch):
    known = {("mlflow.app", "helip"): ["an entry point"]}
    monkeypatch.setattr(tracking_server.importlib.metadata, "entry_points", lambda group, name: known.get((group, name), []))
    with_it = command(tmp_path / "store.db", "127.0.0.1", 5000, "")
    assert with_it[with_it.index("--app-name") + 1] == "helip"
    known.clear()
    assert "--app-name" not in command(tmp_path / "store.db", "127.0.0.1", 5000, "")


def test_the_first_page_chooses_model_training_and_columns(monkeypatch):
    from helip.reporting.tracking import app  # takes seconds

    experiments = SimpleNamespace(search_experiments=lambda: [SimpleNamespace(experiment_id="7")])
    monkeypatch.setattr(app, "_get_tracking_store", lambda: experiments)
    page = app.pages.test_client().get("/")
    text = page.get_data(as_text=True)
    assert page.headers["Cache-Control"] == "no-cache" and page.mimetype == "text/html"
    assert text.index('"mlflow.workflowType_v1": "machine_learning"') < text.index("static-files/static/js/main")
    choices = json.loads(re.search(r"Object.entries\((.*)\)\) localStorage", text)[1])
    shown = choices['MLflowLocalStorage-1.1-ExperimentPage-["7"]-ReactComponentState']
    assert shown["selectedColumns"][0] == shown["columnOrder"][1] == f"metrics.`{GAIN}`"


def test_a_link_opens_a_study_as_model_training(store, empty):
    number = Stored(store).experiment.experiment_id
    view = f"/#/experiments/{number}/runs?workflowType=machine_learning"
    assert links(store, "127.0.0.1", 5001, "") == [f"  smoke: http://127.0.0.1:5001{view}"]
    assert links(store, "0.0.0.0", 5000, "*, login1") == [f"  smoke: http://login1:5000{view}"]
    assert links(store, "0.0.0.0", 5000, "") == [f"  smoke: http://localhost:5000{view}"]
    assert links(empty, "127.0.0.1", 5000, "") == []  # no study is in it


def test_the_links_are_printed_before_the_server_starts(store, monkeypatch, capsys):
    told = []

    def start(arguments, env):
        told.append(capsys.readouterr().out.splitlines())
        return SimpleNamespace(wait=lambda: 3)

    monkeypatch.setattr(tracking_server.subprocess, "Popen", start)
    monkeypatch.setattr(tracking_server.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(tracking_server, "check_port", lambda host, port: None)
    with pytest.raises(HelipError, match=r"ended by itself \(exit code 3\)"):
        tracking_server.serve(store, "127.0.0.1", 5001)
    assert told == [[f"http://127.0.0.1:5001 shows {store}; Ctrl-C ends it", *links(store, "127.0.0.1", 5001, "")]]


def test_reporting_never_imports_torch():
    import subprocess

    code = "import sys, helip.reporting.pages, helip.reporting.tracking.importing; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_a_model_of_other_settings_shows_its_own(store, trained):
    """The study says 0.009 today and nothing was trained again: what is shown is what train.json keeps, and the runs say so."""
    for seed in ("0", "1"):
        file = model_of(trained, "cc3m_clip", seed).folder / "train.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"digest": "0123456789abcdef"}))
    before = trained.run("cc3m_clip").recipe.learning_rate
    changed_recipe(trained, "cc3m_clip", learning_rate=0.009)
    import_study(trained, store)
    shown = Stored(store).runs
    for key in ("smoke/cc3m_clip", "smoke/cc3m_clip/seed0"):
        assert float(shown[key].data.params["learning_rate"]) == before != 0.009
        assert shown[key].info.run_name.endswith("start · cc3m_clip, of other settings") and "corpus" not in shown[key].data.params
        assert f"trained with other settings than {trained.file} declares now" in shown[key].data.tags["mlflow.note.content"]
    assert shown["smoke/cc3m_clip/seed0"].data.tags["helip.digest"] == "0123456789abcdef"
    digests = {(run.run, run.seed): run for run in provenance_of(trained).runs}
    assert (digests["cc3m_clip", "0"].digest, digests["cc3m_clip", "0"].outdated) == ("0123456789abcdef", True)
    for seed in ("0", "1"):
        train(trained, "cc3m_clip", seed)
    import_study(trained, store)
    again = Stored(store).runs["smoke/cc3m_clip"]
    assert (again.data.params["learning_rate"], again.info.run_name) == ("0.009", "start · cc3m_clip")


def test_runs_that_the_study_no_longer_has_are_removed(store, trained):
    old = Stored(store).runs
    renamed = trained.runs.pop("cc3m_clip_cleaned")
    trained.runs["cc3m_clip_tidied"] = renamed.model_copy(update={"name": "cc3m_clip_tidied"})
    shutil.copytree(
        model_of(trained, "cc3m_clip_tidied", "0").folder.parent.with_name("cc3m_clip_cleaned"),
        model_of(trained, "cc3m_clip_tidied", "0").folder.parent,
    )
    trained.runs["cc3m_clip_helip"] = trained.runs["cc3m_clip_helip"].model_copy(update={"seeds": ("0",)})
    import_to_server(trained, f"sqlite:///{store}")
    assert old.keys() <= Stored(store).runs.keys()  # a colleague's study may have them
    import_study(trained, store)
    new = Stored(store).runs
    gone = {"smoke/cc3m_clip_cleaned", "smoke/cc3m_clip_cleaned/seed0", "smoke/cc3m_clip_cleaned/seed1", "smoke/cc3m_clip_helip/seed1"}
    assert old.keys() - new.keys() == gone
    assert {run.data.tags.get("mlflow.parentRunId") for run in new.values()} - {None} <= {run.info.run_id for run in new.values()}


@pytest.mark.parametrize("folder", ["x#1", "50%41"])
def test_a_store_may_lie_in_a_folder_of_any_name(store, tmp_path, folder):
    (tmp_path / "odd" / folder).mkdir(parents=True)
    moved = shutil.copy(store, tmp_path / "odd" / folder / "mlflow.db")
    check_store(moved)
    assert known_in_file(moved, "smoke").keys() == known_in_file(store, "smoke").keys() != set()
    assert links(moved, "127.0.0.1", 5000, "") and [path.name for path in (tmp_path / "odd").iterdir()] == [folder]
