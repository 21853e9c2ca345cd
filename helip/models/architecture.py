"""open_clip's architectures: configs by name, and models built from a config with random weights."""

import contextlib
import copy
import difflib
from typing import Any, TypeAlias

import open_clip
import timm
import torch
from open_clip.transform import PreprocessCfg
from open_clip.transformer import text_global_pool
from timm.layers import GELU, GELUTanh
from torch import Tensor, nn
from torch.nn import init
from torch.nn.functional import normalize as normalise
from torch.overrides import TorchFunctionMode

from helip.errors import HelipError

SIZES = ("embed_dim", "image_size", "patch_size", "width", "layers", "heads", "head_width", "context_length", "vocab_size")
GELUS = (nn.GELU, GELU, GELUTanh)  # torch's, whose form is a setting, and timm's two
DRAWN_IN_PLACE = {
    Tensor.normal_, Tensor.uniform_, Tensor.erfinv_, init.normal_, init.uniform_, init.trunc_normal_, init.xavier_normal_,
    init.xavier_uniform_, init.kaiming_normal_, init.kaiming_uniform_, init.orthogonal_,
}  # fmt: skip
# Whichever a model_cfg is built as; FrozenClip stands in for them.
ClipNetwork: TypeAlias = "open_clip.CLIP | open_clip.CustomTextCLIP | open_clip.CoCa"


class ShortCaptionClip(open_clip.CLIP):  # type: ignore[misc]  # open_clip has no types
    """open_clip's CLIP that also takes captions without the padding all of them share, for the same features at less cost.

    Exact for a causal tower pooled at the end token: nothing before the end sees what comes after it.
    """

    @property
    def takes_short_captions(self) -> bool:
        """Whether the text tower is causal and pooled at the end token, so that padding changes no feature."""
        return bool(self.attn_mask is not None and self.text_pool_type == "argmax")

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        """Takes token ids [B, L], L at most the context length, and returns text features [B, D], unit length if `normalize`."""
        length = text.shape[1]
        if length == self.context_length or not self.takes_short_captions:
            features_BD: torch.Tensor = super().encode_text(text, normalize)
            return features_BD
        dtype = self.transformer.get_cast_dtype()
        x_BLW = self.token_embedding(text).to(dtype) + self.positional_embedding[:length].to(dtype)
        x_BLW = self.ln_final(self.transformer(x_BLW, attn_mask=self.attn_mask[:length, :length]))
        x_BD = text_global_pool(x_BLW, text, self.text_pool_type)
        x_BD = self.text_projection(x_BD) if isinstance(self.text_projection, nn.Linear) else x_BD @ self.text_projection
        return normalise(x_BD, dim=-1) if normalize else x_BD


def up_to_the_longest(tokens_BL: torch.Tensor) -> torch.Tensor:
    """Returns token ids [B, L] up to the last end token, which is the largest id of a row."""
    return tokens_BL[:, : int(tokens_BL.argmax(1).max()) + 1]


def shortened(tokens_BL: torch.Tensor, model: ClipNetwork) -> torch.Tensor:
    """Returns token ids [B, L] without the padding that all rows share where the model takes them so, for the same features; else as
    they are.
    """
    return up_to_the_longest(tokens_BL) if getattr(model, "takes_short_captions", False) else tokens_BL


class _Undrawn(TorchFunctionMode):
    """Within, random initial values are not drawn: parameters hold whatever was in memory, in a moment in place of a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func in DRAWN_IN_PLACE:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def build(config: dict[str, Any], drawn: bool = True) -> ClipNetwork:
    """Returns a model of an open_clip model_cfg, of the class that open_clip itself would make, or ShortCaptionClip for CLIP.

    drawn: initialised at random; False for a model all of whose weights are loaded next, and hold nothing until then. Raises HelipError
    where open_clip has no model of such a config.
    """
    with contextlib.nullcontext() if drawn else _Undrawn():
        return _built(config)


def _built(config: dict[str, Any]) -> ClipNetwork:
    config = copy.deepcopy(config)
    config["vision_cfg"]["timm_model_pretrained"] = False
    config["text_cfg"]["hf_model_pretrained"] = False
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    try:
        if custom:
            model = (open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP)(**config)
            _gelu_in_trunk(model, config["vision_cfg"])
            return model
        return ShortCaptionClip(**config)
    except (TypeError, ValueError, RuntimeError, AssertionError, ArithmeticError) as error:
        raise HelipError(f"the model's config is not open_clip's: {error}; it has embed_dim, vision_cfg and text_cfg") from None


def gelu_of(trunk: nn.Module) -> str | None:
    """Returns the form of GELU that a timm trunk has: tanh, none (the plain one), or None where it has no GELU or both forms."""
    gelus = [module for module in trunk.modules() if isinstance(module, GELUS)]
    forms = {"tanh" if isinstance(gelu, GELUTanh) else getattr(gelu, "approximate", "none") for gelu in gelus}
    return forms.pop() if len(forms) == 1 else None


def timms_gelu(vision_cfg: dict[str, Any]) -> str | None:
    """Returns the form of GELU with which timm itself builds the image tower of a vision_cfg. It differs between the sizes of a family."""
    pool: dict[str, Any] = {"global_pool": "map"} if vision_cfg.get("timm_pool") == "map" else {}
    with torch.device("meta"):
        return gelu_of(timm.create_model(vision_cfg["timm_model_name"], pretrained=False, num_classes=0, **pool))


def asked_gelu(vision_cfg: dict[str, Any]) -> str | None:
    """Returns the form of GELU that a vision_cfg asks of its timm tower, or None where it leaves timm its own."""
    if "timm_model_name" not in vision_cfg:
        return None
    return next((form for form in ("none", "tanh") if vision_cfg.get("act_kwargs") == {"approximate": form}), None)


def other_gelu(vision_cfg: dict[str, Any]) -> str | None:
    """Returns the form of GELU that a vision_cfg asks of its timm tower where timm's own is another one, else None.

    open_clip, which passes timm no act_kwargs, builds timm's own.
    """
    asked = asked_gelu(vision_cfg)
    return asked if asked is not None and asked != timms_gelu(vision_cfg) else None


def _gelu_in_trunk(model: ClipNetwork, vision_cfg: dict[str, Any]) -> None:
    """Gives a timm image tower the form of GELU that its vision_cfg asks for, as a SiglipModel has it."""
    asked = asked_gelu(vision_cfg)
    if asked is None or gelu_of(model.visual.trunk) == asked:
        return
    for module in list(model.visual.trunk.modules()):
        for name, child in module.named_children():
            if isinstance(child, GELUS):
                setattr(module, name, nn.GELU(approximate=asked))


def check_parts(config: dict[str, Any], where: str) -> None:
    """Refuses a model_cfg without one of its three parts, or with a size that is none."""
    for part, kind in {"embed_dim": int, "vision_cfg": dict, "text_cfg": dict}.items():
        if not isinstance(config.get(part), kind):
            raise HelipError(f"{where} has no {part}; an open_clip architecture has embed_dim, vision_cfg and text_cfg")

    sizes = {
        name: part[name] for part in (config, config["vision_cfg"], config["text_cfg"]) for name in SIZES if part.get(name) is not None
    }
    for name, size in sizes.items():
        several = size if isinstance(size, list | tuple) else [size]
        if not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in several):
            raise HelipError(f"{where}: {name} is {size!r}, and should be an integer above 0; correct it, or get the config again")


def check_preprocess(options: Any, where: str) -> None:
    """Refuses a preprocess_cfg whose mean or std cannot normalise an image."""
    if not isinstance(options, dict):
        raise HelipError(f"{where}: preprocess_cfg is {type(options).__name__}, and should be a mapping; get the config again")
    for name in {"mean", "std"} & options.keys():
        values = options[name]
        fits = isinstance(values, list | tuple) and len(values) == 3 and all(isinstance(one, int | float) for one in values)
        if not fits or (name == "std" and not min(values) > 0):
            raise HelipError(f"{where}: preprocess_cfg: {name} is {values!r}, and should be three numbers{' above 0' * (name == 'std')}")


def named(name: str) -> dict[str, Any]:
    """Returns open_clip's model_cfg of an architecture. Raises HelipError, which names near ones, where open_clip has no such model."""
    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        near = difflib.get_close_matches(name, open_clip.list_models(), n=3)
        those = f"near it are {', '.join(near)}" if near else "see open_clip.list_models()"
        raise HelipError(f"open_clip has no model '{name}', and no folder here has that name; {those}")
    return config


def preprocess_of(options: dict[str, Any]) -> dict[str, Any]:
    """Returns a complete preprocess_cfg: open_clip's defaults, replaced by a checkpoint's `options`; the size follows the architecture."""
    usual = PreprocessCfg()
    whole = {"mean": usual.mean, "std": usual.std, "interpolation": usual.interpolation, "resize_mode": usual.resize_mode} | options
    return {key: value for key, value in whole.items() if key in ("mean", "std", "interpolation", "resize_mode", "fill_color", "mode")}
