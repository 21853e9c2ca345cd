"""Batches drawn in proportion to a score: how often, at most how often, and the same again after any restart."""

import json

import numpy as np
import pytest
import toys

from helip.errors import HelipError
from helip.selection.soft import Soft, of_selection
from helip.training.distributed import DistributedContext
from helip.training.loop import Trainer, train
from helip.training.sampler import Sampler


def counts(sampler: Sampler, steps) -> np.ndarray:
    return np.bincount(np.concatenate([sampler(step).ids for step in steps]), minlength=sampler.size)


def test_pairs_are_drawn_in_proportion_to_their_weights():
    logits = np.log(np.repeat([1.0, 2.0, 4.0], 100))
    drawn = counts(Sampler(300, 2, 0, arm="control", soft=Soft(logits, penalty=0.0)), range(6000)).reshape(3, 100).sum(1)
    assert drawn / drawn.sum() == pytest.approx(np.array([1, 2, 4]) / 7, abs=0.015)


class OneHardPair(toys.ToyPairs):
    """Pair 0 is the hard pair of all others: it fills one row of a batch, and the further ones go to more base samples."""

    def hard(self, i: int) -> np.ndarray:
        return np.zeros(int(i > 0), np.int32)


def test_rows_that_hard_pairs_spare_are_drawn_by_weight_too():
    logits = np.log(np.repeat([1.0, 2.0, 4.0], 100))
    sampler = Sampler(300, 8, 0, OneHardPair(300), soft=Soft(logits, penalty=0.0))
    filled = [batch.ids[4 + (0 not in batch.ids[:4]) :] for batch in map(sampler, range(2000))]  # behind 4 base samples and pair 0
    drawn = np.bincount(np.concatenate(filled) // 100)
    assert drawn.sum() > 5000 and drawn / drawn.sum() == pytest.approx(np.array([1, 2, 4]) / 7, abs=0.025)


def test_equal_scores_without_repetition_are_an_epoch():
    soft = Soft(np.zeros(60), penalty=0.0, repeats=1)
    assert (counts(Sampler(60, 6, 3, arm="control", soft=soft), range(10, 20)) == 1).all()


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_no_pair_comes_more_often_than_allowed_in_an_epoch(repeats):
    logits = np.where(np.arange(100) < 5, 20.0, 0.0)  # five that would be in every batch
    sampler = Sampler(100, 10, 1, arm="control", soft=Soft(logits, penalty=0.0, repeats=repeats))
    drawn = counts(sampler, range(sampler.steps_per_epoch))
    assert (drawn[:5] == repeats).all() and drawn.max() == max(repeats, drawn[5:].max()) <= max(repeats, 10)
    free = counts(Sampler(100, 10, 1, arm="control", soft=Soft(logits, penalty=0.0)), range(10))
    assert (free[:5] == 10).all()


def test_the_penalty_spreads_the_draws():
    logits = np.where(np.arange(100) < 5, 4.0, 0.0)
    often = [counts(Sampler(100, 10, 1, arm="control", soft=Soft(logits, penalty=p)), range(10))[:5].sum() for p in (0.0, 1.0, 4.0)]
    assert often[0] > often[1] > often[2] >= 5


def test_batches_are_whole_and_a_pure_function_of_the_step():
    rng = np.random.default_rng(0)
    soft, keep, pairs = Soft(rng.normal(size=120) * 2), rng.random(120) < 0.7, toys.ToyPairs(120, noise=[3, 4])
    make = lambda: Sampler(120, 12, 5, pairs=pairs, keep=keep, soft=soft)  # noqa: E731
    forwards, one = [make()(step) for step in range(40)], make()
    for step in reversed(range(40)):
        batch = one(step)
        assert (batch.ids == forwards[step].ids).all() and (batch.hard == forwards[step].hard).all()
        assert len(set(batch.ids.tolist())) == 12 and keep[batch.ids].all() and not np.isin(batch.ids, [3, 4]).any()


def test_scores_of_another_corpus_are_refused():
    with pytest.raises(HelipError, match="the scores are of 5 pairs and the corpus has 6"):
        Sampler(6, 2, 0, arm="control", soft=Soft(np.zeros(5)))


class Stop:
    """Interrupts after so many steps."""

    def __init__(self, trainer: Trainer, at: int):
        self.trainer, self.at = trainer, at

    @property
    def seen(self) -> bool:
        return self.trainer.step >= self.at


def test_a_resumed_training_draws_what_it_would_have(tmp_path):
    soft = Soft(np.random.default_rng(0).normal(size=120))
    make = lambda name: toys.job(tmp_path / name, toys.refinement(), soft=soft)  # noqa: E731
    assert train(make("whole"), DistributedContext()) == 0
    half = Trainer(make("parts"), DistributedContext())
    assert not half.run(Stop(half, 4))
    assert train(make("parts"), DistributedContext()) == 0
    draws = [json.loads((tmp_path / name / "model" / "train.json").read_text())["draws"] for name in ("whole", "parts")]
    assert draws[0] == draws[1]
    plain = toys.job(tmp_path / "plain", toys.refinement())
    assert train(plain, DistributedContext()) == 0
    assert json.loads((tmp_path / "plain" / "model" / "train.json").read_text())["draws"] != draws[0]


def test_a_selection_says_how_it_is_drawn(tmp_path):
    keep, scores = np.array([True, True, False, True]), np.array([1.0, 3.0, 9.0, 2.0], np.float32)
    np.save(tmp_path / "keep.npy", keep)
    assert of_selection(tmp_path / "keep.npy", keep) is None  # a mask of the user's own
    declared = {"sampling": "soft", "spread": 2.0, "penalty": 0.5, "repeats": 3, "score": "clip_score"}
    (tmp_path / "selection.json").write_text(json.dumps({"declaration": declared | {"sampling": "hard"}}))
    assert of_selection(tmp_path / "keep.npy", keep) is None
    (tmp_path / "selection.json").write_text(json.dumps({"declaration": declared}))
    with pytest.raises(HelipError, match="scores.npy: not found"):
        of_selection(tmp_path / "keep.npy", keep)
    np.save(tmp_path / "scores.npy", scores)
    soft = of_selection(tmp_path / "keep.npy", keep)
    deviation = np.std([1, 3, 2])
    assert soft.logits == pytest.approx([-2 / deviation, 2 / deviation, 0, 0]) and (soft.penalty, soft.repeats) == (0.5, 3)
