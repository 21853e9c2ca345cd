"""The config of a Hugging Face `CLIPModel` in open_clip's terms, and the other way round.

Both build one architecture: two pre-norm transformers, the class token and the end token projected without a bias.
"""

import math
from typing import Any

from open_clip import CLIPTextCfg, CLIPVisionCfg

from helip.errors import HelipError

Config = dict[str, Any]
ACTIVATIONS: dict[str, tuple[bool, Config | None]] = {  # hidden_act -> quick_gelu, act_kwargs
    "quick_gelu": (True, None),
    "gelu": (False, None),
    "gelu_pytorch_tanh": (False, {"approximate": "tanh"}),
}
LEGACY_END = 2  # of eos_token_id: transformers then pools at the highest id, as open_clip does
RESAMPLE = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
ALWAYS = ("do_resize", "do_rescale")  # steps of an image processor that open_clip cannot leave out
VISION = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "act_kwargs", "norm_kwargs"}
TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "act_kwargs", "norm_kwargs", "eos_id", "pad_id"}
TOKENIZER = {"hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs", "hf_model_pretrained"}  # of no layer
NO_LAYER = {"timm_model_pretrained", "patch_dropout"}


def to_open_clip(config: Config, where: str) -> Config:
    """Returns the model_cfg of a CLIPModel's config.json. Raises HelipError for what open_clip has no counterpart of."""
    from transformers import CLIPTextConfig, CLIPVisionConfig

    text, vision = with_defaults(config, "text", CLIPTextConfig), with_defaults(config, "vision", CLIPVisionConfig)
    activations = {text["hidden_act"], vision["hidden_act"]}
    if len(activations) > 1 or not activations <= ACTIVATIONS.keys():
        given = f"hidden_act is {text['hidden_act']} in the text tower and {vision['hidden_act']} in the image tower"
        raise HelipError(f"{where}: {given}; open_clip builds both alike, with one of {', '.join(ACTIVATIONS)}")
    quick, act_kwargs = ACTIVATIONS[activations.pop()]
    more = [{"act_kwargs": act_kwargs} if act_kwargs else {} for _ in range(2)]
    for part, tower in zip(more, (vision, text), strict=True):
        if tower["layer_norm_eps"] != 1e-5:
            part["norm_kwargs"] = {"eps": tower["layer_norm_eps"]}
    vision_cfg = {
        "layers": vision["num_hidden_layers"], "width": vision["hidden_size"], "patch_size": vision["patch_size"],
        "head_width": vision["hidden_size"] // vision["num_attention_heads"], "image_size": vision["image_size"],
        "mlp_ratio": mlp_ratio(vision), **more[0],
    }  # fmt: skip
    text_cfg = {
        "context_length": text["max_position_embeddings"], "vocab_size": text["vocab_size"], "width": text["hidden_size"],
        "heads": text["num_attention_heads"], "layers": text["num_hidden_layers"],
        "mlp_ratio": mlp_ratio(text), **more[1],
    }  # fmt: skip
    if text["eos_token_id"] not in (LEGACY_END, text["vocab_size"] - 1):  # else the end token is the highest id, which open_clip pools at
        text_cfg |= {"pool_type": "eos", "eos_id": text["eos_token_id"]}
    return {"embed_dim": config.get("projection_dim", 512), "quick_gelu": quick, "vision_cfg": vision_cfg, "text_cfg": text_cfg}


def with_defaults(config: Config, side: str, kind: Any) -> Config:
    """Returns the text_config or the vision_config of a config.json; what it leaves out is the default of transformers' config class."""
    usual: Config = kind().to_dict()
    return usual | (config.get(f"{side}_config") or {})


def mlp_ratio(tower: Config) -> float:
    """Returns the ratio by which open_clip, which rounds down, makes the inner width of a tower of transformers."""
    inner, width = tower["intermediate_size"], tower["hidden_size"]
    ratio: float = inner / width
    return ratio if int(width * ratio) == inner else math.nextafter(ratio, math.inf)


def preprocess_of(preprocessor: Config) -> Config:
    """Returns the preprocess_cfg of a preprocessor_config.json, without the size; open_clip's defaults stand for what it leaves out.

    Images that are not normalised have mean 0 and std 1. `no_counterpart` names what is lost.
    """
    options: Config = {}
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        if theirs in preprocessor:
            options[ours] = preprocessor[theirs]
    if preprocessor.get("do_normalize") is False:
        options |= {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    if preprocessor.get("resample") in RESAMPLE:
        options["interpolation"] = RESAMPLE[preprocessor["resample"]]
    if _squashes(preprocessor):
        options["resize_mode"] = "squash"
    return options


def no_counterpart(preprocessor: Config, image_size: int) -> list[str]:
    """Returns the settings of a preprocessor_config.json that open_clip's transform has no counterpart of, each with its value.

    open_clip resizes and crops to one size, the model's own, so it has no resize to 256 before a crop to 224.
    """
    lost = {name for name in ALWAYS if preprocessor.get(name) is False}
    if preprocessor.get("resample") not in (None, *RESAMPLE):
        lost.add("resample")
    if abs((preprocessor.get("rescale_factor") or 1 / 255) - 1 / 255) > 1e-6:
        lost.add("rescale_factor")
    size, crops = preprocessor.get("size"), preprocessor.get("do_center_crop")
    squashes = _squashes(preprocessor)
    if size is not None and _sides(size) != {image_size}:
        lost.add("size")
    if crops is False and size is not None and not squashes:
        lost.add("do_center_crop")
    if (crops or (crops is None and not squashes)) and _sides(preprocessor.get("crop_size") or image_size) != {image_size}:
        lost.add("crop_size")
    return [f"{name} {preprocessor[name]}" for name in sorted(lost)]


def _squashes(preprocessor: Config) -> bool:
    """Whether an image processor resizes to a height and a width, which keeps no ratio."""
    size = preprocessor.get("size")
    return isinstance(size, dict) and size.get("height") is not None


def _sides(size: Any) -> set[Any]:
    """The lengths that a size of an image processor gives: a number, its shortest edge, or height and width."""
    lengths = size.values() if isinstance(size, dict) else size if isinstance(size, list) else [size]
    return {length for length in lengths if length is not None}


def to_transformers(model_cfg: Config, ends: tuple[int, int], logit_scale: float, where: str) -> Config:
    """Returns the config.json of a CLIPModel for a model_cfg. ends: the ids of the first token and of the end token, at which the text
    tower pools.

    Raises HelipError, which names the setting, for an architecture that CLIPModel cannot be.
    """
    vision, text = (
        _tower(model_cfg, "vision", CLIPVisionCfg(), VISION | NO_LAYER),
        _tower(model_cfg, "text", CLIPTextCfg(), TEXT | TOKENIZER),
    )
    if isinstance(vision["layers"], (list, tuple)):
        raise HelipError(f"{where}: its image tower is a ResNet, and transformers' CLIPModel has a ViT; export it for open_clip or onnx")
    if model_cfg.get("init_logit_bias") is not None:
        raise HelipError(f"{where}: has a logit_bias (sigmoid loss), and transformers' CLIPModel has none; export it for open_clip or onnx")
    quick = bool(model_cfg.get("quick_gelu"))
    config = {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": model_cfg["embed_dim"]}
    config["logit_scale_init_value"] = logit_scale
    config["vision_config"] = {
        "model_type": "clip_vision_model", "image_size": vision["image_size"], "patch_size": vision["patch_size"],
        "num_attention_heads": vision["width"] // vision["head_width"], **_common(vision, quick, model_cfg["embed_dim"], where),
    }  # fmt: skip
    config["text_config"] = {
        "model_type": "clip_text_model", "vocab_size": text["vocab_size"], "max_position_embeddings": text["context_length"],
        "num_attention_heads": text["heads"], "bos_token_id": ends[0], "eos_token_id": ends[1], "pad_token_id": text["pad_id"],
        **_common(text, quick, model_cfg["embed_dim"], where),
    }  # fmt: skip
    return config


def _tower(model_cfg: Config, side: str, defaults: CLIPVisionCfg | CLIPTextCfg, allowed: set[str]) -> Config:
    """A tower's settings with open_clip's defaults; one that CLIPModel has no word for must be open_clip's default."""
    tower = model_cfg[f"{side}_cfg"]
    usual = vars(defaults)
    for name, value in tower.items():
        plain = usual.get(name) == value or (name == "pool_type" and value == "eos") or value in (None, False)
        if name not in allowed and not plain:
            remedy = "export it for open_clip or onnx"
            raise HelipError(f"{side}_cfg.{name} {value} has no counterpart in transformers' CLIPModel; {remedy}")
    whole: Config = usual | tower
    return whole


def _common(tower: Config, quick: bool, embed_dim: int, where: str) -> Config:
    act = next((name for name, given in ACTIVATIONS.items() if given == (quick, tower["act_kwargs"] or None)), None)
    if act is None:
        raise HelipError(f"{where}: act_kwargs {tower['act_kwargs']} have no counterpart in transformers' CLIPModel; export for open_clip")
    norm = tower["norm_kwargs"] or {}
    return {
        "hidden_size": tower["width"], "num_hidden_layers": tower["layers"], "hidden_act": act, "projection_dim": embed_dim,
        "intermediate_size": int(tower["width"] * tower["mlp_ratio"]), "layer_norm_eps": norm.get("eps", 1e-5),
    }  # fmt: skip
