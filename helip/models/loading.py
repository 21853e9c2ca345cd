"""open_clip models: built from a declaration, opened from a folder or an open_clip name, with their tokenizer and preprocessing."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.factory import load_checkpoint
from open_clip.transform import PreprocessCfg
from open_clip.transformer import text_global_pool
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import normalize as normalise

from helip.config import Model
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.io import atomic_folder, read_json
from helip.models import tokenizer
from helip.models.layout import CONFIG, WEIGHTS, weights_file
from helip.models.reference import ModelRef, parse


class ShortCaptionClip(open_clip.CLIP):
    """open_clip's CLIP that also takes captions without the padding all of them share, for the same features at less cost.

    Exact for a causal tower pooled at the end token: nothing before the end sees what comes after it.
    """

    @property
    def takes_short_captions(self) -> bool:
        return self.attn_mask is not None and self.text_pool_type == "argmax"

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        length = text.shape[1]
        if length == self.context_length or not self.takes_short_captions:
            return super().encode_text(text, normalize)
        dtype = self.transformer.get_cast_dtype()
        x_BLW = self.token_embedding(text).to(dtype) + self.positional_embedding[:length].to(dtype)
        x_BLW = self.ln_final(self.transformer(x_BLW, attn_mask=self.attn_mask[:length, :length]))
        x_BD = text_global_pool(x_BLW, text, self.text_pool_type)
        x_BD = self.text_projection(x_BD) if isinstance(self.text_projection, nn.Linear) else x_BD @ self.text_projection
        return normalise(x_BD, dim=-1) if normalize else x_BD


@dataclass
class Clip:
    """A model and what must travel with it."""

    model: nn.Module
    config: dict[str, Any]  # open_clip's model_cfg
    preprocess: dict[str, Any]  # open_clip's preprocess_cfg: mean, std, interpolation, ...
    tokenize: tokenizer.Tokenize
    tokenizer_folder: Path | None = None  # of Hugging Face files; None for CLIP's own vocabulary

    @property
    def image_size(self) -> tuple[int, int]:
        size = self.config["vision_cfg"].get("image_size", 224)
        return (size, size) if isinstance(size, int) else tuple(size)


def build(config: dict[str, Any]) -> nn.Module:
    """A randomly initialised model of an open_clip model_cfg."""
    config = copy.deepcopy(config)
    config["vision_cfg"]["timm_model_pretrained"] = False
    config["text_cfg"]["hf_model_pretrained"] = False
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    try:
        return (open_clip.CustomTextCLIP if custom else ShortCaptionClip)(**config)
    except TypeError as error:
        raise HelipError(f"the model's config is not open_clip's: {error}; it has embed_dim, vision_cfg and text_cfg") from None


def new(declaration: Model, corpus: Corpus, tokenizer_folder: Path, seed: int) -> Clip:
    """A model to pre-train; a corpus tokenizer is learnt into tokenizer_folder unless an earlier start of this run left it there."""
    config = named(declaration.open_clip) if declaration.open_clip else copy.deepcopy(declaration.config)
    _check_parts(config, "models: config")
    match declaration.tokenizer:
        case "clip":
            folder, tokenize = None, open_clip.SimpleTokenizer(context_length=config["text_cfg"].get("context_length", 77))
        case "corpus":
            folder = tokenizer_folder
            config["text_cfg"] |= {"hf_tokenizer_name": "corpus", "vocab_size": _learnt(corpus, declaration.vocabulary, folder)}
            tokenize = _tokenizer_in(folder, config)
    torch.manual_seed(seed)
    return _whole(Clip(build(config), config, preprocess_of({}), tokenize, folder), "models")


def _check_parts(config: dict[str, Any], where: str) -> None:
    for part, kind in {"embed_dim": int, "vision_cfg": dict, "text_cfg": dict}.items():
        if not isinstance(config.get(part), kind):
            raise HelipError(f"{where} has no {part}; an open_clip architecture has embed_dim, vision_cfg and text_cfg")


def named(name: str) -> dict[str, Any]:
    """open_clip's model_cfg of an architecture. Raises HelipError where open_clip knows none of that name."""
    config = open_clip.get_model_config(name)
    if config is None:
        raise HelipError(
            f"open_clip knows no architecture '{name}'; `python -c 'import open_clip; print(open_clip.list_models())'` lists them"
        )
    return config


def preprocess_of(said: dict[str, Any]) -> dict[str, Any]:
    """A complete preprocess_cfg: open_clip's defaults and what a checkpoint says otherwise; the size follows the architecture."""
    usual = PreprocessCfg()
    whole = {"mean": usual.mean, "std": usual.std, "interpolation": usual.interpolation, "resize_mode": usual.resize_mode} | said
    return {key: value for key, value in whole.items() if key in ("mean", "std", "interpolation", "resize_mode", "fill_color", "mode")}


def _learnt(corpus: Corpus, vocabulary: int, folder: Path) -> int:
    if not (folder / "tokenizer.json").exists():
        with atomic_folder(folder) as temporary:
            tokenizer.learn((corpus.caption(i) for i in range(len(corpus))), vocabulary, temporary)
    said = json.loads((folder / "tokenizer.json").read_text())
    return max(*said["model"]["vocab"].values(), *(t["id"] for t in said["added_tokens"])) + 1


def _tokenizer_in(folder: Path, config: dict[str, Any]) -> tokenizer.Tokenize:
    return open_clip.tokenizer.HFTokenizer(str(folder), context_length=config["text_cfg"].get("context_length", 77))


def open_start(start: str | Path) -> Clip:
    """A checkpoint to refine, as `helip.models.reference` reads it. Raises HelipError where it is missing, broken or not a CLIP."""
    reference = parse(str(start))
    path = reference.folder
    if path is None:
        return open_named(reference)
    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        raise HelipError(f"{path}: is a file, not a model folder; `helip import` makes one of a published SLIP or DeCLIP checkpoint")
    raise HelipError(f"{path}: is not there; give an open_clip folder, or NAME@TAG, e.g. ViT-B-32@laion2b_s34b_b79k")


def existing(folder: Path) -> Path:
    """The folder of a trained model; HelipError when it is not there."""
    if not (folder / WEIGHTS).exists():
        raise HelipError(f"{folder / WEIGHTS}: not found; train it first (`snakemake {folder / WEIGHTS}` for a run of a study)")
    return folder


def open_folder(path: Path) -> Clip:
    """A folder in open_clip's local-dir layout, weights as safetensors, or a pickle that weights_only accepts."""
    said = read_json(path / CONFIG)
    config = said.get("model_cfg") if isinstance(said, dict) else None
    if not isinstance(config, dict):
        raise HelipError(f"{path / CONFIG}: has no model_cfg; it is not an open_clip folder")
    _check_parts(config, f"{path / CONFIG}: model_cfg")
    model = build(config)
    _load(model, path)
    has_files = bool(config["text_cfg"].get("hf_tokenizer_name"))
    tokenize = _tokenizer_in(path, config) if has_files else open_clip.get_tokenizer(f"local-dir:{path}")
    return _whole(Clip(model, config, preprocess_of(said.get("preprocess_cfg", {})), tokenize, path if has_files else None), str(path))


def _load(model: nn.Module, path: Path) -> None:
    file = weights_file(path)
    if file is None:
        raise HelipError(f"{path}: has no {WEIGHTS}; give a folder that open_clip can load")
    try:
        if file.name == WEIGHTS:
            model.load_state_dict(load_file(file))
        else:
            load_checkpoint(model, str(file), weights_only=True)
    except Exception as error:  # torch, safetensors and pickle each raise their own kinds
        raise HelipError(
            f"{path}: its weights do not load ({str(error).splitlines()[0]}); the file is broken or of another model"
        ) from error


def open_named(found: ModelRef) -> Clip:
    """A model that open_clip keeps by name, or one of the Hugging Face hub. Raises HelipError where open_clip cannot load it."""
    hub = found.name.startswith("hf-hub:")
    if not hub:
        named(found.name)
    if not (hub or found.pretrained):
        raise HelipError(f"'{found}': say which weights to refine, e.g. ViT-B-32@laion2b_s34b_b79k, or give a folder")
    try:
        opened = open_clip.create_model(found.name, pretrained=found.pretrained, weights_only=True)
        config, tokenize = named(found.name), open_clip.get_tokenizer(found.name)
    except Exception as error:
        raise HelipError(f"open_clip cannot load '{found}': {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    model = build(config)
    model.load_state_dict(opened.state_dict())
    return _whole(Clip(model, config, preprocess_of(open_clip.get_model_preprocess_cfg(opened)), tokenize), str(found))


def _whole(clip: Clip, where: str) -> Clip:
    if getattr(clip.model, "logit_bias", None) is not None:
        raise HelipError(f"{where}: was made for the sigmoid loss (SigLIP), and every objective here is a softmax: start from a CLIP")
    tokenizer.check(clip.tokenize, clip.config["text_cfg"], where)
    return clip
