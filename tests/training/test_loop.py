"""What a training does beside its steps: arms, early stopping, retention, averages, NaN, progress."""

import csv
import logging

import numpy as np
import pytest
import torch
from toys import RESNET, ToyCorpus, ToyPairs, declaration, job, recipe, refinement

from helip.config import EarlyStopping, Retention
from helip.errors import HelipError
from helip.io import read_json
from helip.models import loading as models
from helip.models.loading import open_start
from helip.training import loop, watching
from helip.training.curve import MetricsLog
from helip.training.distributed import DistributedContext
from helip.training.loop import Trainer, train
from helip.training.validation import held_out_recall


def curve(folder) -> list[dict[str, str]]:
    with open(folder / "model/curve.csv", newline="") as f:
        return list(csv.DictReader(f))


def test_arms_take_the_same_steps_of_the_same_size(tmp_path):
    arms = {name: {"arm": name} for name in ("control", "cleaned", "helip")} | {"negatives": {"role": "negatives"}}
    curves, rows = {}, {}
    for name, settings in arms.items():
        one = job(tmp_path / name, refinement(steps=None, epochs=1, **settings), pairs=ToyPairs(120, noise=range(10)))
        rows[name] = Trainer(one, DistributedContext()).sampler(0).ids
        assert train(one, DistributedContext()) == 0
        curves[name] = curve(tmp_path / name)
    assert [len(c) for c in curves.values()] == [10, 10, 10, 10]
    assert {len(ids) for ids in rows.values()} == {12}
    assert np.array_equal(rows["negatives"], rows["cleaned"])  # captions beside the batch, noise left out
    assert len({tuple(r["lr"] for r in c) for c in curves.values()}) == 1
    assert "margin" in curves["helip"][0]
    assert "margin" not in curves["control"][0]


def test_training_learns(tmp_path):
    one = job(tmp_path, recipe(steps=60, learning_rate=3e-3))
    before = held_out_recall(one.clip, one.corpus, np.arange(120), torch.device("cpu"))
    assert train(one, DistributedContext()) == 0
    after = held_out_recall(one.clip, one.corpus, np.arange(120), torch.device("cpu"))
    assert after > before + 0.02
    losses = [float(r["loss"]) for r in curve(tmp_path)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5


def test_a_finished_training_leaves_no_state(tmp_path):
    one = job(tmp_path, recipe())
    assert train(one, DistributedContext()) == 0
    assert not one.state_dir.exists()


def poisoned(one, at: int):
    """The loss is NaN at a step."""
    plain = one.stepper.objective.loss

    def loss(*arguments):
        value, parts = plain(*arguments)
        return (value * float("nan") if one.step + 1 == at else value), parts

    one.stepper.objective.loss = loss


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nan_stops_with_the_step_and_keeps_the_last_good_state(tmp_path, precision):
    one = Trainer(job(tmp_path, recipe(precision=precision)), DistributedContext())
    poisoned(one, at=5)
    with loop.Interrupts() as interrupts, pytest.raises(HelipError, match="loss is nan at step 5.*; the state of step 3 is kept in"):
        one.run(interrupts)
    assert [p.name for p in one.job.state_dir.glob("step*")] == ["step000000003.pt"]
    assert train(job(tmp_path, recipe(precision=precision)), DistributedContext()) == 0  # and it goes on from there


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    one = Trainer(job(tmp_path, recipe()), DistributedContext())
    one.save()
    with torch.no_grad():
        one.model.token_embedding.weight[3, 0] = float("nan")  # by a step whose loss was still a number
    one.step = 3
    with pytest.raises(HelipError, match="weights are not finite after step 3"):
        one.save()
    assert [p.name for p in one.job.state_dir.glob("step*")] == ["step000000000.pt"]


def test_early_stopping_stops_and_exports_the_best(tmp_path, monkeypatch):
    scores = iter([0.1, 0.2, 0.5, 0.4, 0.5, 0.3, 0.9])
    seen = []

    def score(clip, corpus, ids, device):
        seen.append({n: w.clone() for n, w in clip.model.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(watching, "held_out_recall", score)
    one = job(tmp_path, refinement(steps=40, early_stopping=EarlyStopping(patience=3, every=2, held_out=0.1)))
    assert train(one, DistributedContext()) == 0
    metadata = read_json(tmp_path / "model/train.json")
    assert (metadata["steps"], metadata["best_step"], metadata["best_validation"]) == (10, 4, 0.5)
    assert [r["validation"] for r in curve(tmp_path) if r["validation"]] == ["0.1", "0.2", "0.5", "0.4", "0.5", "0.3"]
    exported = open_start(tmp_path / "model").model.state_dict()
    assert all(torch.equal(w, seen[2][n]) for n, w in exported.items())


@pytest.mark.parametrize(("gain", "best_step"), [(0.1, 5), (-0.1, 0)])
def test_the_last_step_is_validated_and_an_unbeaten_start_warns(tmp_path, monkeypatch, caplog, gain, best_step):
    scores = iter([0.3, 0.3 + gain])
    monkeypatch.setattr(watching, "held_out_recall", lambda *_: next(scores))
    one = job(tmp_path, refinement(steps=5, early_stopping=EarlyStopping(every=100, held_out=0.1)))
    with caplog.at_level(logging.WARNING):
        assert train(one, DistributedContext()) == 0
    metadata = read_json(tmp_path / "model/train.json")
    assert (metadata["best_step"], sum("no validation" in w for w in metadata["warnings"])) == (best_step, best_step == 0)
    assert ("what is exported is the start" in caplog.text) == (best_step == 0)


def test_held_out_pairs_are_not_trained_on(tmp_path):
    one = Trainer(job(tmp_path, refinement(early_stopping=EarlyStopping(every=2, held_out=0.25))), DistributedContext())
    drawn = {i for step in range(100) for i in one.sampler(step).ids.tolist()}
    assert len(one.watch.validated) == 30
    assert drawn.isdisjoint(one.watch.validated.tolist())


def test_only_selected_pairs_are_trained_on(tmp_path):
    keep = np.arange(120) % 3 > 0
    one = Trainer(job(tmp_path, refinement(), keep=keep), DistributedContext())
    drawn = np.unique(np.concatenate([one.sampler(step).ids for step in range(100)]))
    assert np.array_equal(drawn, np.flatnonzero(keep))


def test_recall_by_hand(tmp_path):
    one = job(tmp_path, recipe())
    texts = torch.tensor([[1, 0, 0, 0], [0, 0.3, 0.5, 0], [0, 0, 0.4, 0.6], [0, 0, 0, 1]])
    one.clip.model.encode_image = lambda images, normalize: torch.eye(4)
    one.clip.model.encode_text = lambda tokens, normalize: texts
    # images 0, 1 and 3 find their captions, 2 finds caption 1; captions 0 and 3 find their images, 1 finds image 2 and 2 image 3
    assert held_out_recall(one.clip, one.corpus, np.arange(4), torch.device("cpu")) == 5 / 8


def test_validation_counts_no_batch_statistics(tmp_path):
    clip = models.new(declaration(RESNET), ToyCorpus(), tmp_path / "tokenizer", seed=0)
    before = {name: x.clone() for name, x in clip.model.train().named_buffers()}
    held_out_recall(clip, ToyCorpus(), np.arange(4), torch.device("cpu"))
    assert any(name.endswith("running_mean") for name in before)
    assert all(torch.equal(x, before[name]) for name, x in clip.model.named_buffers())


def test_retention_is_measured_from_step_0_and_a_fall_reported(tmp_path, caplog):
    scores = iter([50.0, 49.5, 47.0, 50.0, 12.0])
    watched = refinement(steps=8, retention=Retention(set="anything", every=2, tolerance=2.0))
    with caplog.at_level(logging.WARNING):
        assert train(job(tmp_path, watched, retention_score=lambda model: next(scores)), DistributedContext()) == 0
    rows = [(r["step"], r["retention"]) for r in curve(tmp_path) if r["retention"]]
    assert rows == [("0", "50.0"), ("2", "49.5"), ("4", "47.0"), ("6", "50.0"), ("8", "12.0")]
    warnings = read_json(tmp_path / "model/train.json")["warnings"]
    assert [w.partition(":")[0] for w in warnings if "retention" in w] == ["step 4", "step 8"]
    assert "retention fell from 50.00 to 47.00" in caplog.text


def test_retention_evaluates_without_disturbing_training(tmp_path):
    plain, watched = refinement(), refinement(retention=Retention(set="anything", every=1))
    modes = []
    assert train(job(tmp_path / "plain", plain), DistributedContext()) == 0
    assert (
        train(
            job(tmp_path / "watched", watched, retention_score=lambda model: float(modes.append(model.training) or 0)), DistributedContext()
        )
        == 0
    )
    assert modes == [False] * 9
    assert [r["loss"] for r in curve(tmp_path / "plain")] == [r["loss"] for r in curve(tmp_path / "watched")][1:]


def test_the_average_is_what_is_exported(tmp_path):
    start = {n: w.clone() for n, w in job(tmp_path / "start", recipe()).clip.model.state_dict().items()}
    exported = {}
    for name, settings in {"last": {}, "averaged": {"ema": 0.5}}.items():
        assert train(job(tmp_path / name, refinement(**settings)), DistributedContext()) == 0
        exported[name] = open_start(tmp_path / name / "model").model.state_dict()
    moved = "transformer.resblocks.0.mlp.c_fc.weight"
    near, far = ((exported[n][moved] - start[moved]).norm() for n in ("averaged", "last"))
    assert 0 < near < far


def test_loader_processes_change_nothing(tmp_path):
    weights = []
    for workers in (0, 2):
        assert train(job(tmp_path / str(workers), refinement(), workers=workers), DistributedContext()) == 0
        weights.append(open_start(tmp_path / str(workers) / "model").model.state_dict())
    assert all(torch.equal(w, weights[1][n]) for n, w in weights[0].items())


# ---------------------------------------------------------------- bad input


def test_a_batch_larger_than_the_corpus_is_refused(tmp_path):
    with pytest.raises(HelipError, match="batch of 64 is larger than the 40 pairs"):
        Trainer(job(tmp_path, recipe(batch_size=64), ToyCorpus(40)), DistributedContext())


def test_a_corpus_that_shrank_since_mining_is_refused(tmp_path):
    with pytest.raises(HelipError, match="mined on 150 pairs and the corpus has 120"):
        Trainer(job(tmp_path, refinement(), pairs=ToyPairs(150)), DistributedContext())


def test_a_world_that_does_not_divide_the_batch_is_refused(tmp_path):
    with pytest.raises(HelipError, match="batch_size 12 does not divide into 5 processes"):
        Trainer(job(tmp_path, refinement()), DistributedContext(size=5))


# ---------------------------------------------------------------- curve


def test_curves_survive_a_state(tmp_path):
    one = MetricsLog()
    one.note(0, retention=3.0)
    one.add({"step": 1, "lr": 0.1}, {"loss": torch.tensor(2.0), "clip": torch.tensor(1.5)})
    other = MetricsLog()
    other.load_state_dict(one.state_dict())
    assert other.rows == one.rows == [{"step": 0, "retention": 3.0}, {"step": 1, "lr": 0.1, "loss": 2.0, "clip": 1.5}]
    other.write(tmp_path / "curve.csv")
    assert (tmp_path / "curve.csv").read_text().split() == ["step,loss,clip,lr,retention", "0,,,,3.0", "1,2.0,1.5,0.1,"]
