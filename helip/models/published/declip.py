"""CLIP, SLIP and DeCLIP as Sense-GVT/DeCLIP saves them: OpenAI's ViT and text transformer, with a vocabulary of 49,409.

There `<|mask|>` is word 49,406 and pushes start and end to 49,407 and 49,408. With CLIP's tokens the features would be silently wrong;
without the mask's row they are exact.
"""

import torch
from torch import Tensor

from helip.errors import HelipError
from helip.models.published.layout import IMAGENET_PREPROCESSING, Published, blocks, text_config

TEXT = ("encode_text.", "text_encoder.")  # of CLIP and DeCLIP; of SLIP
HEADS = ("projector", "predictor", "text_label_predictor.", "nn_replacer_")
VOCABULARY, MASK = 49409, 49406
EMBEDDING = "token_embedding.weight"


def is_declip(weights: dict[str, Tensor]) -> bool:
    """Returns whether the weights' names are those of a checkpoint of Sense-GVT/DeCLIP."""
    return any(prefix + EMBEDDING in weights for prefix in TEXT)


def published_declip(weights: dict[str, Tensor], where: str) -> Published:
    """Returns a DeCLIP in open_clip's terms, without the heads, the text tower's prefix and the mask's row of the vocabulary."""
    if "visual.class_embedding" not in weights:
        raise HelipError(f"{where}: its image tower is no ViT; of DeCLIP's checkpoints only those with a ViT can be imported")
    renamed = {_renamed(name): w for name, w in weights.items() if not name.startswith(HEADS)}
    words = len(renamed[EMBEDDING])
    if words != VOCABULARY:
        raise HelipError(f"{where}: its vocabulary has {words} words and DeCLIP's has {VOCABULARY}; which is the mask's cannot be told")
    renamed[EMBEDDING] = torch.cat([renamed[EMBEDDING][:MASK], renamed[EMBEDDING][MASK + 1 :]])
    renamed["logit_scale"] = renamed["logit_scale"].reshape(())
    config = {
        "embed_dim": renamed["visual.proj"].shape[1],
        "quick_gelu": True,
        "vision_cfg": _vision_config(renamed),
        "text_cfg": text_config(renamed) | {"proj_bias": "text_projection.bias" in renamed},
    }
    return Published("DeCLIP", config, IMAGENET_PREPROCESSING, renamed)


def _renamed(name: str) -> str:
    for prefix in TEXT:
        name = name.removeprefix(prefix)
    return name


def _vision_config(weights: dict[str, Tensor]) -> dict[str, int]:
    width, _, patch_size, _ = weights["visual.conv1.weight"].shape
    grid = round((len(weights["visual.positional_embedding"]) - 1) ** 0.5)
    layers = blocks(weights, "visual.transformer.resblocks.")
    return {"image_size": grid * patch_size, "layers": layers, "width": width, "patch_size": patch_size}
