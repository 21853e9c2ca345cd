"""The weights of a Hugging Face `CLIPModel` under open_clip's names, and the other way round. The numbers stay what they are."""

import re

import torch

from helip.models.weights import Weights

TOWERS = {"text_model.": "", "vision_model.": "visual."}  # transformers' -> open_clip's
PARTS = {  # within a tower, transformers' -> open_clip's
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "pre_layrnorm.": "ln_pre.",  # transformers' own spelling
    "post_layernorm.": "ln_post.",
    "final_layer_norm.": "ln_final.",
}
IN_A_LAYER = {
    "self_attn.out_proj.": "attn.out_proj.",
    "layer_norm1.": "ln_1.",
    "layer_norm2.": "ln_2.",
    "mlp.fc1.": "mlp.c_fc.",
    "mlp.fc2.": "mlp.c_proj.",
}
PROJECTIONS = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}  # the one is the other's transpose
ATTENTION = "qkv"  # open_clip keeps queries, keys and values in one matrix, in this order


def to_open_clip(weights: Weights) -> Weights:
    """Returns a CLIPModel's weights under open_clip's names. A name that is not known stays what it is."""
    weights = {name: w for name, w in weights.items() if not name.endswith(".position_ids")}  # older versions saved what is counted
    ours: Weights = {}
    for name, w in weights.items():
        if match := re.fullmatch(r"(.*)self_attn\.([qkv])_proj\.(weight|bias)", name):
            if match[2] == "q":
                parts = [weights[f"{match[1]}self_attn.{part}_proj.{match[3]}"] for part in ATTENTION]
                ours[f"{_renamed(match[1])}attn.in_proj_{match[3]}"] = torch.cat(parts)
        elif name in PROJECTIONS:
            ours[PROJECTIONS[name]] = w.T.contiguous()
        else:
            ours[_renamed(name)] = w
    return ours


def _renamed(name: str) -> str:
    for theirs, ours in TOWERS.items():
        if name.startswith(theirs):
            inner = name.removeprefix(theirs)
            if layer := re.match(r"encoder\.layers\.(\d+)\.", inner):
                return f"{ours}transformer.resblocks.{layer[1]}.{replaced(inner[layer.end() :], IN_A_LAYER)}"
            return ours + replaced(inner, PARTS)
    return name


def replaced(name: str, names: dict[str, str]) -> str:
    """Returns a name whose beginning, where `names` has it, is replaced."""
    known = next((start for start in names if name.startswith(start)), "")
    return names.get(known, "") + name.removeprefix(known)


def to_transformers(weights: Weights) -> Weights:
    """Returns the weights of an open_clip ViT CLIP under CLIPModel's names."""
    theirs: Weights = {}
    inverse = {ours: name for name, ours in PROJECTIONS.items()}
    for name, w in weights.items():
        name = name.removeprefix("text.")  # of a custom text tower
        if name in inverse:
            theirs[inverse[name]] = w.T.contiguous()
        elif match := re.fullmatch(r"(.*)attn\.in_proj_(weight|bias)", name):
            for part, rows in zip(ATTENTION, w.chunk(3), strict=True):
                theirs[f"{_back(match[1])}self_attn.{part}_proj.{match[2]}"] = rows.contiguous()
        elif name == "logit_scale":
            theirs[name] = w.reshape(())
        else:
            theirs[_back(name)] = w.contiguous()
    return theirs


def _back(name: str) -> str:
    tower = next(theirs for theirs, ours in reversed(TOWERS.items()) if name.startswith(ours))
    inner = name.removeprefix(TOWERS[tower])
    if layer := re.match(r"transformer\.resblocks\.(\d+)\.", inner):
        return f"{tower}encoder.layers.{layer[1]}.{replaced(inner[layer.end() :], {ours: t for t, ours in IN_A_LAYER.items()})}"
    return tower + replaced(inner, {ours: theirs for theirs, ours in PARTS.items()})
