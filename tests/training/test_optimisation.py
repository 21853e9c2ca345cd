import math

import pytest
import torch
from torch import nn
from toys import recipe, refinement

from helip.errors import HelipError
from helip.training.optimisation import MovingAverage, clamp_logit_scale, learning_rate, optimiser, total_steps


def test_schedule_by_hand():
    cosine = recipe(steps=10, warmup_steps=2, learning_rate=1.0)
    rates = [learning_rate(cosine, s, 10) for s in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)  # half of the eight steps after the warm-up
    assert rates[9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    flat = recipe(steps=10, warmup_steps=2, learning_rate=1.0, schedule="constant")
    assert [learning_rate(flat, s, 10) for s in (0, 2, 9)] == [0.5, 1.0, 1.0]


def test_epochs_count_samples_not_base_samples():
    for arm in ("control", "cleaned", "helip"):
        assert total_steps(refinement(steps=None, epochs=2.5, batch_size=10, arm=arm), 1000) == 250


def test_a_part_of_a_batch_is_one_step():
    assert total_steps(recipe(steps=None, epochs=0.001, batch_size=10, warmup_steps=0), 1000) == 1


def test_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(HelipError, match="warmup_steps 8 is not shorter than the run's 8 steps"):
        total_steps(recipe(steps=8, warmup_steps=8), 1000)


def test_decay_on_matrices_only():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv2d(1, 1, 3))
    model.logit_scale = nn.Parameter(torch.ones(()))
    matrices, others = optimiser([model], recipe(weight_decay=0.3)).param_groups
    assert sorted(tuple(p.shape) for p in matrices["params"]) == [(1, 1, 3, 3), (4, 3)]
    assert matrices["weight_decay"] == 0.3
    assert all(p.ndim < 2 for p in others["params"])
    assert others["weight_decay"] == 0
    assert len(matrices["params"]) + len(others["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize(("logarithm", "scale"), [(9.0, 100), (2.0, math.exp(2)), (-0.5, 1)])
def test_logit_scale_stays_between_1_and_100(logarithm, scale):
    model = nn.Module()
    model.logit_scale = nn.Parameter(torch.tensor(logarithm))
    clamp_logit_scale(model)
    assert model.logit_scale.exp().item() == pytest.approx(scale, rel=1e-6)


def test_moving_average_by_hand():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = MovingAverage(model, 0.75)
    nn.init.constant_(model.weight, 3.0)
    average.update()  # 0.75 x 1 + 0.25 x 3
    with average.applied():
        assert model.weight.item() == pytest.approx(1.5)
    assert model.weight.item() == 3.0


def test_torchs_cosine_schedule_depends_on_the_way_to_a_step():
    """Why the rate is a function of our own: torch multiplies the last rate by a quotient, so roundings add up and are state to resume."""
    steps = 500
    torchs = optimiser([nn.Linear(2, 2)], recipe(learning_rate=1.0))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(torchs, steps)
    chained = []
    for _ in range(steps):
        chained.append(schedule.get_last_lr()[0])
        torchs.step()
        schedule.step()
    ours = [learning_rate(recipe(learning_rate=1.0, steps=steps, warmup_steps=0), s, steps) for s in range(steps)]
    assert chained == pytest.approx(ours, abs=1e-9)
    assert chained != ours


def test_torchs_average_leaves_out_the_start():
    """Why the average is of our own: torch's first update copies the weights, and ours averages them with the start checkpoint."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    torchs = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.75))
    ours = MovingAverage(model, 0.75)
    nn.init.constant_(model.weight, 3.0)
    torchs.update_parameters(model)
    ours.update()
    assert (torchs.module.weight.item(), ours.weights[0].item()) == (3.0, 1.5)
