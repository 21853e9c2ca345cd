"""What every encoder is, whatever library it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from PIL import Image

Module = TypeVar("Module", bound=torch.nn.Module)


@dataclass(frozen=True)
class Encoder:
    """A frozen network that turns images, or captions, into features.

    `prepare` makes one PIL RGB image into a tensor and may run in a loader's worker; `embed` takes a batch, either the stacked
    tensors or a list of captions, and returns features_BD: float32, on the CPU, as the network gives them (neither centred nor
    normalised). `weights` is a digest of every parameter and buffer, `preprocessing` says in words what happens to an input.
    """

    modality: Literal["image", "text"]
    dim: int
    weights: str
    preprocessing: str
    embed: Callable[[Any], torch.Tensor]  # of stacked tensors, or of a list of captions
    prepare: Callable[[Image.Image], torch.Tensor] | None = None
    logits: bool = False  # a classifier's output: class labels speak through it
    logit_scale: float | None = None  # of a CLIP's tower: 1 / temperature, what its cosines are multiplied by


def frozen(module: Module, device: str) -> Module:
    """Returns the same module in evaluation mode, without gradients, on the device."""
    return module.eval().requires_grad_(False).to(device)


def gpu_dtype(device: str, precision: str) -> torch.dtype | None:
    """Returns what a network computes in on that device; None for float32, which a CPU always has."""
    return {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision) if device.startswith("cuda") else None


def inference(module: Callable, device: str, precision: str = "fp16") -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns a module as an `embed` of batches: to the device, in that precision on a GPU, float32 back on the CPU."""
    dtype = gpu_dtype(device, precision)

    @torch.inference_mode()
    def embed(batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", dtype, enabled=dtype is not None):
            return module(batch.to(device, non_blocking=True)).float().cpu()

    return embed


def in_words(transform: object) -> str:
    """Returns a torchvision transform on one line."""
    return " ".join(str(transform).split())


def feature_width(embed: Callable, prepare: Callable) -> int:
    """Returns D, by embedding a black image: what a library says of its width is not always what comes out."""
    return embed(prepare(Image.new("RGB", (64, 64))).unsqueeze(0)).shape[1]
