"""Low-rank updates of the towers' weights (LoRA, arXiv 2106.09685), merged into them on export. By torch's own parametrizations.

    W = W0 + B A,   A [r, in] drawn, B [out, r] zero at first, W0 frozen

An attention's joint query, key and value matrix (`in_proj_weight`) is one such W.

peft 0.21.2 was tried: open_clip's attention is torch's MultiheadAttention, to whose output projection peft adds B A twice (with
lora_alpha = r, in its forward pass and when it merges); a parameter of such a module cannot be named as a target by itself; the module
loses its parameters during each forward pass; and a step of a small ViT took 1.3 times as long as with these parametrizations.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from helip.errors import HelipError
from helip.training.layers import BLOCK


class LowRank(nn.Module):
    """This adds a product of rank r to a matrix [out, in]."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1], dtype=weight.dtype, device=weight.device))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, dtype=weight.dtype, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Returns the updated matrix."""
        return weight + self.up @ self.down


def add(model: nn.Module, rank: int) -> int:
    """Freezes a model but for its logit scale and bias, gives every matrix of the towers' blocks an update of that rank, and returns how
    many.

    The updates are drawn from torch's global generator. A matrix that was frozen before gets none. HelipError where there is no matrix, or
    none so large.
    """
    chosen = []
    for name, module in model.named_modules():
        for field in ("weight", "in_proj_weight"):
            weight = module._parameters.get(field)
            if weight is not None and weight.ndim == 2 and weight.requires_grad and BLOCK.search(f"{name}."):
                chosen.append((module, field, weight))
    if not chosen:
        raise HelipError("lora: no block of the towers has a matrix that is trained; train the weights themselves")
    least = min(min(weight.shape) for _, _, weight in chosen)
    if rank > least:
        raise HelipError(f"lora {rank}: the smallest matrix has rank {least}; give a smaller rank")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in ("logit_scale", "logit_bias"))
    for module, field, weight in chosen:
        parametrize.register_parametrization(module, field, LowRank(weight, rank))
    return len(chosen)


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Returns the state of a model as it would be without parametrizations: each updated matrix under its own name."""
    state = model.state_dict()
    for prefix, module in model.named_modules():
        if parametrize.is_parametrized(module):
            for field in module.parametrizations:  # type: ignore[union-attr]
                name = f"{prefix}.{field}"
                state = {key: value for key, value in state.items() if not key.startswith(f"{prefix}.parametrizations.{field}.")}
                state[name] = getattr(module, field).detach()
    return state
