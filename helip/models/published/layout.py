"""A published model on its way into open_clip's layout."""

from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from open_clip.constants import IMAGENET_MEAN, IMAGENET_STD
from torch import Tensor

from helip.errors import HelipError
from helip.models.weights import shape_text

# Both repositories normalise with ImageNet's numbers and resize bilinearly. DeCLIP's own evaluation resizes to 256 and crops 224 of it,
# which a preprocess_cfg cannot say: open_clip resizes to 224.
IMAGENET_PREPROCESSING = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "interpolation": "bilinear", "resize_mode": "shortest"}


@dataclass(frozen=True)
class Published:
    """A published checkpoint in open_clip's terms: whose layout it came in, its model_cfg and preprocess_cfg, and its weights by
    open_clip's names.
    """

    layout: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    weights: dict[str, Tensor]


def text_config(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Returns the text_cfg of OpenAI's text transformer from the shapes of its weights under open_clip's names; heads are 64 wide."""
    context_length, width = weights["positional_embedding"].shape
    return {
        "context_length": context_length,
        "vocab_size": len(weights["token_embedding.weight"]),
        "width": width,
        "heads": width // 64,
        "layers": blocks(weights, "transformer.resblocks."),
    }


def blocks(weights: dict[str, Tensor], prefix: str) -> int:
    """Returns how many numbered blocks there are under a prefix."""
    return len({name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix)})


def check(published: Published, where: str) -> None:
    """Refuses weights whose names or shapes are not those of the model that the config describes."""
    with torch.device("meta"):
        expected = {name: w.shape for name, w in open_clip.CLIP(**published.model_cfg).state_dict().items()}
    given = {name: w.shape for name, w in published.weights.items()}
    for name in sorted(expected.keys() | given.keys()):
        if expected.get(name) != given.get(name):
            difference = f"is {shape_text(given.get(name))} in the file and {shape_text(expected.get(name))} in the model"
            raise HelipError(f"{where}: {name} {difference}; this is no {published.layout} checkpoint that can be imported")
