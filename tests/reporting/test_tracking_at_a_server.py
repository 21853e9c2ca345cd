"""Trainings of the smoke study beside a real MLflow server: the curve arrives while they run, and a server that is down costs nothing."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from helip.reporting.tracking.runs import rounded
from helip.reporting.tracking.server import ENVIRONMENT, command

pytestmark = pytest.mark.long  # a server and four trainings
RUN = "cc3m_clip"


def wait_for(ready, process: subprocess.Popen, printed: Path, seconds: float = 600):
    """What `ready` returns once it is something; what the process said where it ends before."""
    deadline = time.monotonic() + seconds
    while not (value := ready()):
        assert process.poll() is None and time.monotonic() < deadline, printed.read_text()[-4000:]
        time.sleep(0.1)
    return value


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(uri: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=5) as page:
        return page.status == 200
    return False


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an MLflow server in a session of its own."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    uri, printed = f"http://127.0.0.1:{port}", folder / "printed"
    with open(printed, "w") as out:
        started = subprocess.Popen(
            command(folder / "mlflow.db", "127.0.0.1", port, ""),
            cwd=folder,
            env={**os.environ, **ENVIRONMENT},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_for(lambda: answers(uri), started, printed)
        yield uri
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(60)


@pytest.fixture(scope="module")
def study(project, tmp_path_factory):
    """A folder with the smoke study, its corpus, and the same study with a training that would go on for days."""
    folder = tmp_path_factory.mktemp("study")
    shutil.copytree(project / "experiments", folder / "experiments")
    declared = yaml.safe_load((folder / "experiments/studies/smoke.yaml").read_text())
    declared["pretraining"]["clip"]["steps"] = 10**6
    (folder / "experiments/studies/days.yaml").write_text(yaml.safe_dump(declared))
    for name in ("smoke", "days"):
        assert helip(folder, "", name, "corpus", "cc3m").wait() == 0, (folder / "printed").read_text()
    return folder


def helip(folder: Path, uri: str, *words: str, results: str = "results") -> subprocess.Popen:
    """`helip run`, started; what it says goes to `folder`/printed."""
    environ = {**os.environ, "MLFLOW_TRACKING_URI": uri, "HELIP_RESULTS": results, "OMP_NUM_THREADS": "1"}
    with open(folder / "printed", "w") as out:
        return subprocess.Popen([sys.executable, "-m", "helip", "run", *words], cwd=folder, env=environ, stdout=out, stderr=out)


def tracked(uri: str, study: str) -> tuple | None:
    """(run, its history of losses as (step, loss)) of the study's training; None before it has a first point."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(study)
    runs = client.search_runs([experiment.experiment_id], f"tags.`helip.key` = '{study}/{RUN}/seed0'") if experiment else []
    points = [client.get_metric_history(run.info.run_id, "train.loss") for run in runs]
    assert len(runs) <= 1
    return (runs[0], [(point.step, point.value) for point in points[0]]) if points and points[0] else None


def test_the_whole_curve_of_a_training_arrives(server, study):
    assert helip(study, server, "smoke", "train", RUN, "0").wait() == 0, (study / "printed").read_text()
    run, losses = tracked(server, "smoke")
    with open(study / f"results/smoke/models/{RUN}/seed0/curve.csv") as file:
        curve = [(int(row["step"]), rounded(float(row["loss"]))) for row in csv.DictReader(file)]
    assert len(curve) == 12 and losses == curve
    assert run.info.run_name == "s0 start · cc3m_clip" and run.data.params["batch_size"] == "64"
    assert "live tracking" not in (study / "printed").read_text()


def test_the_curve_arrives_while_a_training_runs(server, study):
    training = helip(study, server, "days", "train", RUN, "0")
    try:
        run, losses = wait_for(lambda: tracked(server, "days"), training, study / "printed")
        assert training.poll() is None and run.info.status == "RUNNING"
        assert [step for step, _ in losses] == list(range(losses[0][0], losses[0][0] + len(losses)))
    finally:
        training.send_signal(signal.SIGTERM)
        code = training.wait(600)
    assert code == 75, (study / "printed").read_text()  # its state is saved, and it asks to be started again
    before = tracked(server, "days")
    again = helip(study, server, "days", "train", RUN, "0")
    try:
        after = wait_for(lambda: (now := tracked(server, "days")) and len(now[1]) > len(before[1]) and now, again, study / "printed")
    finally:
        again.kill()
        again.wait()
    assert after[0].info.run_id == before[0].info.run_id and after[1][: len(before[1])] == before[1]  # it goes on in its run
    steps = [step for step, _ in after[1]]
    assert steps == sorted(set(steps))  # and from where it was stopped


def test_a_server_that_is_down_changes_nothing(server, study):
    uri = f"http://127.0.0.1:{free_port()}"
    shutil.copytree(study / "results/smoke/corpora", study / "without/smoke/corpora")
    assert helip(study, uri, "smoke", "train", RUN, "0", results="without").wait() == 0, (study / "printed").read_text()
    assert f"{RUN}: no live tracking" in (study / "printed").read_text()
    if not (study / f"results/smoke/models/{RUN}").exists():
        assert helip(study, server, "smoke", "train", RUN, "0").wait() == 0
    file = f"smoke/models/{RUN}/seed0/open_clip_model.safetensors"
    assert (study / "without" / file).read_bytes() == (study / "results" / file).read_bytes()
