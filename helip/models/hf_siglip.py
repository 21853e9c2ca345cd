"""A Hugging Face `SiglipModel` in open_clip's terms, and the other way round: configs and weights. The numbers stay what they are.

open_clip has SigLIP's image tower as a timm model, which it builds by its name alone, so only sizes that timm names are converted.
"""

import re

import torch

from helip.errors import HelipError
from helip.models.architecture import timms_gelu
from helip.models.hf_config import ACTIVATIONS, Config, mlp_ratio, with_defaults
from helip.models.hf_weights import ATTENTION, IN_A_LAYER, replaced
from helip.models.weights import Weights

PLAIN = {"approximate": "none"}  # act_kwargs of the plain GELU; a config names it where timm's own form is the tanh one
KIND = "siglip"  # model_type of a SiglipModel
FAMILIES = {  # patch size, width, layers, heads and inner width of the image tower -> timm's name without the image size
    (32, 768, 12, 12, 3072): "vit_base_patch32_siglip",
    (16, 768, 12, 12, 3072): "vit_base_patch16_siglip",
    (16, 1024, 24, 16, 4096): "vit_large_patch16_siglip",
    (14, 1152, 27, 16, 4304): "vit_so400m_patch14_siglip",
    (16, 1152, 27, 16, 4304): "vit_so400m_patch16_siglip",
    (16, 1536, 40, 16, 6144): "vit_giantopt_patch16_siglip",
}
SIZES = ("patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
TRUNK = "visual.trunk."
HEAD = "vision_model.head."
OF_IMAGES = {  # transformers' -> timm's
    "embeddings.patch_embedding.": "patch_embed.proj.",
    "embeddings.position_embedding.weight": "pos_embed",
    "post_layernorm.": "norm.",
}
IN_A_BLOCK = {"self_attn.out_proj.": "attn.proj.", "layer_norm1.": "norm1.", "layer_norm2.": "norm2."}
IN_THE_HEAD = {"probe": "latent", "attention.out_proj.": "proj.", "layernorm.": "norm."}
OF_TEXTS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.": "ln_final.",
    "head.": "text_projection.",
}
PREPROCESSING = {  # SiglipImageProcessor's defaults
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3, "size": {"height": 224, "width": 224},
}  # fmt: skip


def to_open_clip(config: Config, where: str) -> Config:
    """Returns the model_cfg of a SiglipModel's config.json. Raises HelipError for what open_clip has no counterpart of."""
    from transformers import SiglipTextConfig, SiglipVisionConfig

    text, vision = with_defaults(config, "text", SiglipTextConfig), with_defaults(config, "vision", SiglipVisionConfig)
    for side, tower in (("text", text), ("vision", vision)):
        if tower["hidden_act"] not in ACTIVATIONS or ACTIVATIONS[tower["hidden_act"]][0]:
            raise HelipError(
                f"{where}: {side}_config.hidden_act is {tower['hidden_act']}, and open_clip's SigLIPs have gelu or its tanh form"
            )
    if vision["layer_norm_eps"] != 1e-6 or not vision.get("vision_use_head", True):
        raise HelipError(f"{where}: its image tower is not timm's (layer_norm_eps 1e-06, with a pooling head): open_clip cannot build it")
    width = text["projection_size"] or text["hidden_size"]
    image, words = (ACTIVATIONS[tower["hidden_act"]][1] for tower in (vision, text))
    form = (image or PLAIN)["approximate"]
    vision_cfg = {
        "image_size": vision["image_size"], "timm_model_name": _timm_name(vision, where), "timm_model_pretrained": False,
        "timm_pool": "map", "timm_proj": "none",
    }  # fmt: skip
    if form != timms_gelu(vision_cfg):
        vision_cfg["act_kwargs"] = {"approximate": form}
    text_cfg = {
        "context_length": text["max_position_embeddings"], "vocab_size": text["vocab_size"], "width": text["hidden_size"],
        "heads": text["num_attention_heads"], "layers": text["num_hidden_layers"],
        "mlp_ratio": mlp_ratio(text), "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
        "norm_kwargs": {"eps": text["layer_norm_eps"]}, "tokenizer_kwargs": {"clean": "canonicalize"},
        **({"act_kwargs": words} if words else {}),
    }  # fmt: skip
    return {"embed_dim": width, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision_cfg, "text_cfg": text_cfg}


def _timm_name(vision: Config, where: str) -> str:
    import timm

    family = FAMILIES.get(tuple(vision[name] for name in SIZES))
    name = f"{family}_{vision['image_size']}"
    if family is None or not timm.is_model(name):
        sizes = ", ".join(f"{size} {vision[size]}" for size in (*SIZES, "image_size"))
        remedy = "give open_clip's own form of the weights, where it has one (hf-hub:timm/ViT-B-16-SigLIP)"
        raise HelipError(f"{where}: timm has no SigLIP image tower of these sizes ({sizes}); {remedy}")
    return name


def to_transformers(model_cfg: Config, where: str) -> Config:
    """Returns the config.json of a SiglipModel for a model_cfg. Raises HelipError for an architecture that SiglipModel cannot be."""
    from open_clip import CLIPTextCfg

    vision, text = model_cfg["vision_cfg"], vars(CLIPTextCfg()) | model_cfg["text_cfg"]
    family = re.sub(r"_\d+$", "", str(vision.get("timm_model_name")))
    sizes = next((sizes for sizes, name in FAMILIES.items() if name == family), None)
    plain = vision.get("timm_pool") == "map" and vision.get("timm_proj") == "none" and text["proj_bias"] and text["no_causal_mask"]
    if sizes is None or not plain or text["pool_type"] != "last" or text["width"] != model_cfg["embed_dim"]:
        raise HelipError(f"{where}: has a logit_bias, but not SigLIP's towers, so transformers has no such model; export it for onnx")
    common = {"hidden_size": text["width"], "intermediate_size": int(text["width"] * text["mlp_ratio"])}
    return {
        "architectures": ["SiglipModel"], "model_type": KIND,
        "vision_config": {
            "model_type": "siglip_vision_model", "image_size": vision["image_size"], **dict(zip(SIZES, sizes, strict=True)),
            "hidden_act": _act_of_images(vision, where),
        },
        "text_config": common | {
            "model_type": "siglip_text_model", "vocab_size": text["vocab_size"], "max_position_embeddings": text["context_length"],
            "num_attention_heads": text["heads"], "num_hidden_layers": text["layers"], "hidden_act": _act(text["act_kwargs"], where),
            "layer_norm_eps": (text["norm_kwargs"] or {}).get("eps", 1e-5), "projection_size": model_cfg["embed_dim"],
        },
    }  # fmt: skip


def _act_of_images(vision: Config, where: str) -> str:
    """The hidden_act of an image tower: what its act_kwargs ask for, or timm's own, which the config does not say."""
    act_kwargs = vision.get("act_kwargs") or {"approximate": timms_gelu(vision)}
    return _act(None if act_kwargs == PLAIN else act_kwargs, where)


def _act(act_kwargs: Config | None, where: str) -> str:
    name = next((name for name, (quick, given) in ACTIVATIONS.items() if not quick and given == (act_kwargs or None)), None)
    if name is None:
        raise HelipError(f"{where}: act_kwargs {act_kwargs} have no counterpart in transformers' SiglipModel; export it for open_clip")
    return name


# ---------------------------------------------------------------- weights


def weights_to_open_clip(weights: Weights) -> Weights:
    """Returns a SiglipModel's weights under open_clip's and timm's names. A name that is not known stays what it is."""
    ours: Weights = {}
    for name, w in weights.items():
        if name.endswith(".position_ids"):
            continue
        if match := re.fullmatch(r"(.*)self_attn\.([qkv])_proj\.(weight|bias)", name):
            if match[2] == "q":
                joint = torch.cat([weights[f"{match[1]}self_attn.{part}_proj.{match[3]}"] for part in ATTENTION])
                ours[_ours(f"{match[1]}self_attn.in.{match[3]}")] = joint
        elif match := re.fullmatch(re.escape(HEAD) + r"attention\.in_proj_(weight|bias)", name):
            q, k, v = w.chunk(3)
            ours[f"{TRUNK}attn_pool.q.{match[1]}"], ours[f"{TRUNK}attn_pool.kv.{match[1]}"] = q.contiguous(), torch.cat([k, v])
        else:
            ours[_ours(name)] = w[None] if name == "vision_model.embeddings.position_embedding.weight" else w
    return ours


def _ours(name: str) -> str:
    tower, _, inner = name.partition(".")
    layer = re.match(r"encoder\.layers\.(\d+)\.", inner)
    rest = inner[layer.end() :] if layer else inner
    if tower == "vision_model" and inner.startswith("head."):
        return f"{TRUNK}attn_pool.{replaced(inner.removeprefix('head.'), IN_THE_HEAD)}"
    if tower == "vision_model" and layer:
        return f"{TRUNK}blocks.{layer[1]}.{replaced(rest, IN_A_BLOCK | {'self_attn.in.': 'attn.qkv.'})}"
    if tower == "vision_model":
        return TRUNK + replaced(inner, OF_IMAGES)
    if tower == "text_model" and layer:
        return f"text.transformer.resblocks.{layer[1]}.{replaced(rest, IN_A_LAYER | {'self_attn.in.': 'attn.in_proj_'})}"
    return f"text.{replaced(inner, OF_TEXTS)}" if tower == "text_model" else name


def weights_to_transformers(weights: Weights, like: Weights) -> Weights:
    """Returns an open_clip SigLIP's weights under SiglipModel's names. like: a SiglipModel's state, of which the names are taken."""
    theirs: Weights = {}
    for name, w in like.items():
        if match := re.fullmatch(r"(.*)self_attn\.([qkv])_proj\.(weight|bias)", name):
            source = weights[_ours(f"{match[1]}self_attn.in.{match[3]}")].chunk(3)[ATTENTION.index(match[2])]
        elif match := re.fullmatch(re.escape(HEAD) + r"attention\.in_proj_(weight|bias)", name):
            source = torch.cat([weights[f"{TRUNK}attn_pool.{part}.{match[1]}"] for part in ("q", "kv")])
        else:
            source = weights[_ours(name)]
        theirs[name] = source.reshape(w.shape).contiguous()
    return theirs
