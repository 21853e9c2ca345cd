"""How a loss ended: above its start or at chance is a warning; and what state there is after a loss that is no number."""

import math

import numpy as np
import pytest
import torch
from toys import job, recipe, refinement

from helip.errors import HelipError
from helip.io import read_json
from helip.training import loop
from helip.training.curve import MetricsLog
from helip.training.distributed import DistributedContext
from helip.training.loop import Trainer, train


def curve(losses) -> MetricsLog:
    one = MetricsLog()
    one.rows = [{"step": step, "loss": loss, "clip": loss} for step, loss in enumerate(losses, 1)]
    return one


def test_a_loss_that_ends_above_its_start_is_told():
    noise = 0.01 * np.random.default_rng(0).normal(size=100)
    assert curve(np.linspace(2.0, 1.0, 100) + noise).verdict(64) == ""
    assert curve(np.full(100, 2.0) + noise).verdict(64) == ""  # within two standard errors
    assert curve(np.linspace(1.0, 2.0, 100) + noise).verdict(64).startswith("the loss ended at 1.9")
    assert "above the 1.0" in curve(np.linspace(1.0, 2.0, 100) + noise).verdict(64)


def test_a_loss_at_chance_is_told():
    assert curve([4.5, 4.2, 4.16]).verdict(64) == (
        "the contrastive loss ended at chance (ln 64 = 4.1589): the model tells no pair from another"
    )
    assert curve([4.5, 4.2, 4.0]).verdict(64) == "" and curve([]).verdict(64) == ""


def test_a_training_that_ends_at_chance_says_so(tmp_path):
    assert train(job(tmp_path, refinement(learning_rate=10.0, steps=12)), DistributedContext()) == 0
    warnings = read_json(tmp_path / "model" / "train.json")["warnings"]
    assert any("ended at chance (ln 12 = 2.4849)" in one or "above the" in one for one in warnings)


@pytest.mark.parametrize(("at", "state"), [(2, "no state was saved before it"), (5, "the state of step 3 is kept in ")])
def test_what_is_left_after_a_loss_that_is_no_number(tmp_path, at, state):
    one = Trainer(job(tmp_path, recipe()), DistributedContext())
    step = one.stepper.__class__.__call__

    class Poisoned:
        def __call__(self, *given):
            loss, parts = step(one.stepper_before, *given)
            return (loss * math.nan if one.step == at - 1 else loss), parts

        def __getattr__(self, name):
            return getattr(one.stepper_before, name)

    one.stepper_before, one.stepper = one.stepper, Poisoned()
    with loop.Interrupts() as interrupts, pytest.raises(HelipError, match=f"the loss is nan at step {at}: lower .*; {state}"):
        one.run(interrupts)
    assert torch.isfinite(one.model.logit_scale).all()
