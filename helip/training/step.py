"""One optimiser step: the gradient of the whole batch, whatever the processes and micro-batches it is cut into.

Only batch normalisation within a tower (a ResNet's) sees no more than one micro-batch, of all GPUs together.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from helip.config import TrainConfig
from helip.models.loading import ClipNetwork
from helip.training.batches import Inputs, cut
from helip.training.distributed import DistributedContext
from helip.training.layers import still
from helip.training.objectives import Features, ObjectiveModule, Plan
from helip.training.optimisation import MovingAverage, clamp_logit_scale

DTYPES = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


class Towers(nn.Module):
    """This is model and objective as one module, so that DistributedDataParallel sees every parameter.

    `start` is the model as it was before, for distillation: it is no part of the module's parameters or state.
    """

    def __init__(self, model: ClipNetwork, objective: ObjectiveModule, start: "ClipNetwork | None" = None):
        super().__init__()
        self.model, self.objective, self._start = model, objective, (start,)

    def forward(self, batch: Inputs) -> Features:
        """Returns the objective's features of this process's rows, and the start's where there is one."""
        features, (start,) = self.objective.encode(self.model, batch), self._start
        if start is None:
            return features
        with torch.no_grad():
            image, text = start.encode_image(batch["images"][0], normalize=True), start.encode_text(batch["tokens"], normalize=True)
            scale = start.logit_scale.exp().reshape(1).expand(len(image)).clone()
        return features | {"start_image_features": image, "start_text_features": text, "start_logit_scale": scale}


class TrainStep:
    """`stepper(batch, plan, learning_rate)` takes one optimiser step and returns the loss and its parts, detached scalars."""

    def __init__(
        self,
        model: ClipNetwork,
        objective: ObjectiveModule,
        optimiser: torch.optim.Optimizer,
        recipe: TrainConfig,
        world: DistributedContext,
        start: "ClipNetwork | None" = None,
    ):
        self.model, self.objective, self.optimiser, self._recipe, self._world = model, objective, optimiser, recipe, world
        if recipe.checkpoint_gradients:
            model.set_grad_checkpointing()
        self._towers = world.wrap(Towers(model, objective, start))
        self._dtype = DTYPES[recipe.precision]
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=recipe.precision == "fp16")
        self.average = MovingAverage(model, recipe.ema) if recipe.ema else None
        self._seed = 0

    def __call__(self, batch: Inputs, plan: Plan, learning_rate: float, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
        features, loss, parts = self._stepped(batch, plan, learning_rate, seed)
        clamp_logit_scale(self.model)
        self.objective.after_step(features)
        if self.average:
            self.average.update()
        return loss, parts

    def warm(self, batch: Inputs, plan: Plan, seed: int = 0) -> None:
        """Takes a batch's gradient into AdamW's moments and changes no weight, buffer or queue (TuneCLIP, arXiv 2601.09859)."""
        with _still_statistics(self._towers):
            self._stepped(batch, plan, 0.0, seed)

    def _stepped(self, batch: Inputs, plan: Plan, learning_rate: float, seed: int) -> tuple[Features, Tensor, dict[str, Tensor]]:
        self.optimiser.zero_grad()
        self._seed = seed
        result = self.gradient(batch, plan)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate * group.get("factor", 1.0)
        if self._recipe.clip_norm:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self._towers.parameters(), self._recipe.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return result

    def gradient(self, batch: Inputs, plan: Plan) -> tuple[Features, Tensor, dict[str, Tensor]]:
        """Leaves the (scaled) gradient in the parameters and returns the gathered features, the loss and its parts, detached."""
        self._towers.train()
        still(self.model)
        if self._recipe.accumulate == 1:
            return self._backward(self._encode(batch), plan)
        return self._accumulated(cut(batch, self._recipe.accumulate), plan)

    def _accumulated(self, pieces: list[Inputs], plan: Plan) -> tuple[Features, Tensor, dict[str, Tensor]]:
        """Feature caching: encode all without a graph, differentiate the loss by the features, then encode again piece by piece."""
        with torch.no_grad(), _still_statistics(self._towers):
            cached = [self._encode(piece, i, direct=True) for i, piece in enumerate(pieces)]
        whole = {name: torch.cat([c[name] for c in cached]) for name in cached[0]}
        whole = {name: rows.requires_grad_(rows.is_floating_point()) for name, rows in whole.items()}
        with self._unreduced():
            result = self._backward(whole, plan)
        pulls = {name: rows.grad.chunk(len(pieces)) for name, rows in whole.items() if rows.grad is not None}
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            with contextlib.nullcontext() if last else self._unreduced():
                features = self._encode(piece, i)
                trained = [n for n in pulls if features[n].requires_grad]  # a frozen tower has no gradient to take
                ends = [features[n] for n in trained]
                pulled = [pulls[n][i] for n in trained]
                if last:
                    # Logit scale and heads have their gradient already, but DistributedDataParallel sends what the last backward reaches.
                    shared = [p for p in (self.model.logit_scale, *self.objective.parameters()) if p.requires_grad]
                    ends, pulled = ends + shared, pulled + [torch.zeros_like(p) for p in shared]
                with self._recomputing():
                    torch.autograd.backward(ends, pulled)
        return result

    def _encode(self, batch: Inputs, piece: int = 0, direct: bool = False) -> Features:
        torch.manual_seed(self._seed + piece)  # dropout, if a tower has any: the same in both passes and after any restart
        towers = self._towers.module if direct and isinstance(self._towers, DistributedDataParallel) else self._towers
        with self._autocast():
            features: Features = towers(batch)
        return features

    def _backward(self, features: Features, plan: Plan) -> tuple[Features, Tensor, dict[str, Tensor]]:
        gathered = {name: self._world.gather(rows) for name, rows in features.items()}
        with self._autocast():
            loss, parts = self.objective.loss(gathered, self.model.logit_scale.exp(), plan)
        with self._recomputing():
            self.scaler.scale(loss).backward()
        return {name: rows.detach() for name, rows in gathered.items()}, loss.detach(), parts

    def _autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self._world.device.type, self._dtype, enabled=self._dtype is not None)

    def _recomputing(self) -> contextlib.AbstractContextManager:
        """A backward pass. With checkpoints it runs blocks again, whose batch statistics were counted in the forward pass."""
        return _still_statistics(self._towers) if self._recipe.checkpoint_gradients else contextlib.nullcontext()

    def _unreduced(self) -> contextlib.AbstractContextManager:
        return self._towers.no_sync() if isinstance(self._towers, DistributedDataParallel) else contextlib.nullcontext()


@contextlib.contextmanager
def _still_statistics(module: nn.Module) -> Iterator[None]:
    """Batch normalisation that does not count the rows of one of two passes over them."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    counters = [m.num_batches_tracked for m in norms if m.num_batches_tracked is not None]  # SyncBatchNorm insists on having one
    counts = [counter.clone() for counter in counters]
    for m in norms:
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum
        for counter, count in zip(counters, counts, strict=True):
            counter.copy_(count)
