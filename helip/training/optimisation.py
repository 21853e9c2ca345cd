"""AdamW on the recipe's terms, the learning rate of a step and the average of the weights."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from helip.config import TrainConfig
from helip.errors import HelipError
from helip.models.loading import ClipNetwork
from helip.training.curve import NotFiniteError
from helip.training.layers import rates

MAX_LOG_SCALE = math.log(100)  # of the logit scale (section 2.5 of arXiv 2103.00020)


def optimiser(modules: list[nn.Module], recipe: TrainConfig) -> torch.optim.AdamW:
    """Returns AdamW with weight decay on matrices only: norms, biases and the logit scale have none.

    The first module is the model. A group's `factor` is what its learning rate is in units of the recipe's.
    """
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    factors = rates(modules[0], recipe)
    groups = []
    for factor in sorted({factors.get(id(p), 1.0) for p in trained}, reverse=True):
        alike = [p for p in trained if factors.get(id(p), 1.0) == factor]
        groups += [
            {"params": [p for p in alike if p.ndim >= 2], "weight_decay": recipe.weight_decay, "factor": factor},
            {"params": [p for p in alike if p.ndim < 2], "weight_decay": 0.0, "factor": factor},
        ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.eps, fused=True)


def learning_rate(recipe: TrainConfig, step: int, steps: int) -> float:
    """Returns the rate of a step counted from 0: a linear warm-up, then a cosine to 0 or a constant."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - recipe.warmup_steps) / (steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def total_steps(recipe: TrainConfig, corpus_size: int) -> int:
    """Returns the optimiser steps of a run; HelipError is raised when its warm-up is not shorter.

    An epoch is `corpus_size` samples, whatever the batches hold, so that all arms take the same steps.
    """
    steps = recipe.steps
    if steps is None:
        assert recipe.epochs is not None  # a recipe has either steps or epochs
        steps = max(1, round(recipe.epochs * corpus_size / recipe.batch_size))
    if recipe.warmup_steps >= steps:
        raise HelipError(f"warmup_steps {recipe.warmup_steps} is not shorter than the run's {steps} steps: lower it or train longer")
    return steps


@torch.no_grad()
def clamp_logit_scale(model: ClipNetwork) -> None:
    """Keeps the logarithm of the logit scale within 0 and log 100 (section 2.5 of arXiv 2103.00020)."""
    model.logit_scale.clamp_(0, MAX_LOG_SCALE)


def check_finite(model: nn.Module, step: int) -> None:
    """Raises HelipError where a step has left a weight that is NaN or infinite: its loss may still have been a number."""
    if not all(torch.isfinite(norm) for norm in torch._foreach_norm([p.detach() for p in model.parameters()])):
        raise NotFiniteError(f"weights are not finite after step {step}: lower learning_rate, set clip_norm or use fp32")


class MovingAverage:
    """This is the exponential moving average of a model's parameters; buffers follow the model."""

    def __init__(self, model: nn.Module, decay: float):
        self._model, self._decay = model, decay
        self.weights = [p.detach().clone() for p in model.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the present weights by a share of 1 - decay."""
        torch._foreach_lerp_(self.weights, [p.detach() for p in self._model.parameters()], 1 - self._decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the average in place of the model's weights for as long as the context lasts."""
        own = [p.detach().clone() for p in self._model.parameters()]
        self._copy(self.weights)
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, weights: list[Tensor]) -> None:
        for p, w in zip(self._model.parameters(), weights, strict=True):
            p.copy_(w)
