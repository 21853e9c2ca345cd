"""A training's curve on its way to a server, with a client that the test makes."""

import threading
from types import SimpleNamespace

import pytest

from helip.reporting.tracking import live as tracking_live
from helip.reporting.tracking.live import LiveRun, follower


class Client:
    """A server that remembers what it was told, and may hold a run of an earlier start."""

    def __init__(self, known=()):
        self.known, self.deleted, self.params, self.points = list(known), [], {}, []

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="7")

    def search_runs(self, experiments, query):
        return self.known

    def delete_run(self, run_id):
        self.deleted.append(run_id)

    def create_run(self, experiment, run_name, tags):
        self.name, self.tags = run_name, tags
        return SimpleNamespace(info=SimpleNamespace(run_id="new"))

    def log_param(self, run_id, name, value):
        self.params[name] = value

    def log_batch(self, run_id, metrics):
        self.points += [(run_id, m.key, m.step, m.value) for m in metrics]


def known_run(run_id, digest, status):
    return SimpleNamespace(info=SimpleNamespace(run_id=run_id, status=status), data=SimpleNamespace(tags={"helip.digest": digest}))


def ended(run):
    """Ends a run and waits for its thread, however slow the machine is."""
    run.close()
    run._thread.join()


def live(study, client):
    return LiveRun(study, "cc3m_clip_helip", "1", "abc", lambda: client)


def test_rows_arrive_with_step_and_name(study):
    client = Client()
    run = live(study, client)
    run({"step": 1, "loss": 4.567891, "lr": 0.001})
    run({"step": 2, "loss": 4.5})
    ended(run)
    assert client.points == [("new", "train.loss", 1, 4.568), ("new", "train.lr", 1, 0.001), ("new", "train.loss", 2, 4.5)]
    assert client.name == "s1 helip · cc3m_clip" and client.tags["helip.key"] == "smoke/cc3m_clip_helip/seed1"
    assert client.params["mining.k"] == "5"


def test_a_resumed_training_goes_on_in_its_run(study):
    client = Client([known_run("old", "another", "RUNNING"), known_run("mine", "abc", "RUNNING")])
    run = live(study, client)
    run({"step": 3, "loss": 1.0})
    ended(run)
    assert client.deleted == ["old"] and client.points == [("mine", "train.loss", 3, 1.0)]


@pytest.mark.parametrize("where", ["get_experiment_by_name", "log_batch"])
def test_a_server_that_fails_costs_nothing(study, where, caplog):
    client = Client()

    def fail(*arguments, **options):
        raise ConnectionError("gone")

    setattr(client, where, fail)
    run = live(study, client)
    run({"step": 1, "loss": 1.0})
    ended(run)
    waiting = run._rows.qsize()
    run({"step": 2, "loss": 1.0})  # goes nowhere, and raises nothing
    assert run._rows.qsize() == waiting and "no live tracking (gone); `helip track smoke` imports the run later" in caplog.text


def test_a_queue_that_is_full_drops_rows(study, monkeypatch):
    monkeypatch.setattr(tracking_live, "ROOM", 2)
    opened = threading.Event()
    client = Client()
    run = LiveRun(study, "cc3m_clip", "0", "abc", lambda: opened.wait() and client)
    for step in range(5):
        run({"step": step, "loss": 1.0})
    assert run._rows.qsize() == 2
    opened.set()
    ended(run)
    assert [step for _, _, step, _ in client.points] == [0, 1]


def test_only_a_named_server_is_told(study, monkeypatch):
    for uri in ("", "sqlite:///results/mlflow.db", "results"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert follower(study, "cc3m_clip", "0", "abc") is None


def test_the_curve_tells_each_row_once():
    import torch

    from helip.training.curve import MetricsLog

    told = []
    curve = MetricsLog(told.append)
    curve.add({"step": 1}, {"loss": torch.tensor(2.5)})
    curve.add({"step": 2}, {"loss": torch.tensor(2.0)})
    curve.read()
    assert told == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0}]
