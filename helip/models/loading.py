"""open_clip models: built from a declaration, opened from a folder or an open_clip name, with their tokenizer and preprocessing."""

import copy
import difflib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import open_clip
import torch
from open_clip.factory import load_checkpoint
from open_clip.model import set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from open_clip.transformer import text_global_pool
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import normalize as normalise

from helip.config import Model
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.io import atomic_folder, read_json
from helip.models import frozen, tokenizer
from helip.models.frozen import FrozenClip
from helip.models.layout import CONFIG, WEIGHTS, weights_file
from helip.models.network import reason, unlogged
from helip.models.reference import ModelRef, parse

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


@dataclass
class Clip:
    """A model and what must travel with it when it is exported."""

    model: ClipNetwork
    config: dict[str, Any]  # open_clip's model_cfg
    preprocess: dict[str, Any]  # open_clip's preprocess_cfg: mean, std, interpolation, ...
    tokenize: tokenizer.Tokenize
    tokenizer_folder: Path | None = None  # of Hugging Face files; None for CLIP's own vocabulary

    @property
    def image_size(self) -> tuple[int, int]:
        """The (height, width) in pixels of the images that the model takes."""
        size = self.config["vision_cfg"].get("image_size", 224)
        return (size, size) if isinstance(size, int) else tuple(size)


def build(config: dict[str, Any]) -> ClipNetwork:
    """Returns a randomly initialised model of an open_clip model_cfg, of the class that open_clip itself would make, or ShortCaptionClip
    for CLIP.

    Raises HelipError where open_clip has no model of such a config.
    """
    config = copy.deepcopy(config)
    config["vision_cfg"]["timm_model_pretrained"] = False
    config["text_cfg"]["hf_model_pretrained"] = False
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    try:
        if custom:
            return (open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP)(**config)
        return ShortCaptionClip(**config)
    except TypeError as error:
        raise HelipError(f"the model's config is not open_clip's: {error}; it has embed_dim, vision_cfg and text_cfg") from None


def short_captions(model: ClipNetwork) -> ClipNetwork:
    """Returns the same model, which takes short captions from now on if it is open_clip's own CLIP; other classes stay what they are."""
    if type(model) is open_clip.CLIP:
        model.__class__ = ShortCaptionClip  # it adds methods and no state
    return model


def new(declaration: Model, corpus: Corpus, tokenizer_folder: Path, seed: int) -> Clip:
    """Returns a model to pre-train. A corpus tokenizer is learnt into tokenizer_folder unless an earlier start left it there."""
    config = named(declaration.open_clip) if declaration.open_clip else copy.deepcopy(declaration.config or {})
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
    """Returns open_clip's model_cfg of an architecture. Raises HelipError, which names near ones, where open_clip has no such model."""
    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        near = difflib.get_close_matches(name, open_clip.list_models(), n=3)
        raise HelipError(f"open_clip has no model '{name}'; near it are {', '.join(near) or 'none: see open_clip.list_models()'}")
    return config


def preprocess_of(options: dict[str, Any]) -> dict[str, Any]:
    """Returns a complete preprocess_cfg: open_clip's defaults, replaced by a checkpoint's `options`; the size follows the architecture."""
    usual = PreprocessCfg()
    whole = {"mean": usual.mean, "std": usual.std, "interpolation": usual.interpolation, "resize_mode": usual.resize_mode} | options
    return {key: value for key, value in whole.items() if key in ("mean", "std", "interpolation", "resize_mode", "fill_color", "mode")}


def _learnt(corpus: Corpus, vocabulary: int, folder: Path) -> int:
    if not (folder / "tokenizer.json").exists():
        with atomic_folder(folder) as temporary:
            tokenizer.learn((corpus.caption(i) for i in range(len(corpus))), vocabulary, temporary)
    content = json.loads((folder / "tokenizer.json").read_text())
    ids: list[int] = [*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])]
    return max(ids) + 1


def _tokenizer_in(folder: Path, config: dict[str, Any]) -> tokenizer.Tokenize:
    tokenize: tokenizer.Tokenize = open_clip.tokenizer.HFTokenizer(str(folder), context_length=config["text_cfg"].get("context_length", 77))
    return tokenize


@dataclass(frozen=True)
class Checkpoint:
    """An open_clip model as `create` opens it. config: open_clip's model_cfg. preprocess: open_clip's preprocess_cfg, without the size."""

    model: ClipNetwork
    config: dict[str, Any]
    preprocess: dict[str, Any]

    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """Returns the transform of evaluation: an RGB image -> float32 [3, H, W] as the model takes it."""
        if isinstance(self.model, FrozenClip):
            return self.model.transform
        transform: Callable[[Image.Image], torch.Tensor] = image_transform_v2(
            PreprocessCfg(**open_clip.get_model_preprocess_cfg(self.model)), is_train=False
        )
        return transform


def create(reference: ModelRef, *, weights: bool = True) -> Checkpoint:
    """Returns the open_clip model that a reference names: the one way by which a checkpoint becomes a model.

    weights=False leaves them random, for tests of everything but the numbers. Weights are read without running code that may lie in them.
    Raises HelipError for an architecture, tag or folder that is not there, a broken file, and weights of another model.
    """
    return _of_folder(reference.folder, weights) if reference.folder is not None else _of_name(reference, weights)


def _of_folder(path: Path, weights: bool) -> Checkpoint:
    """A folder in open_clip's local-dir layout, weights as safetensors, or a pickle that weights_only accepts."""
    if path.is_file():
        raise HelipError(f"{path}: is a file, not a model folder; `helip import` makes one of a published SLIP or DeCLIP checkpoint")
    if not path.is_dir():
        remedy = "give an open_clip folder, or NAME@TAG (ViT-B-32@laion2b_s34b_b79k); a run of a study must be trained first"
        raise HelipError(f"{path}: is not there; {remedy}")
    if not (path / CONFIG).is_file():
        raise HelipError(f"{path}: no open_clip model folder ({CONFIG} is missing); train or export the model first")
    content = read_json(path / CONFIG)
    config = content.get("model_cfg") if isinstance(content, dict) else None
    if not isinstance(config, dict):
        raise HelipError(f"{path / CONFIG}: has no model_cfg; it is not an open_clip folder")
    _check_parts(config, f"{path / CONFIG}: model_cfg")
    if frozen.KEY in config:
        return _frozen(path, config, weights)
    model = build(config)
    if weights:
        _load(model, path)
    preprocess = content.get("preprocess_cfg", {})
    complete = merge_preprocess_dict(asdict(PreprocessCfg()), preprocess)
    if hasattr(model.visual, "image_size"):
        complete["size"] = model.visual.image_size
    set_model_preprocess_cfg(model, complete)
    return Checkpoint(model, config, preprocess_of(preprocess))


def _frozen(path: Path, config: dict[str, Any], weights: bool) -> Checkpoint:
    """The heads of a folder over the trunks that it names, which are opened and compared when something asks for them."""
    frozen.check_config(config, f"{path / CONFIG}: model_cfg")
    model = FrozenClip(config)
    if weights:
        _load(model, path)
    return Checkpoint(model, config, {})


def _load(model: nn.Module, path: Path) -> None:
    file = weights_file(path)
    if file is None:
        raise HelipError(f"{path}: has no {WEIGHTS}; give a folder that open_clip can load")
    try:
        if file.suffix == ".safetensors":
            model.load_state_dict(load_file(file))
        else:
            load_checkpoint(model, str(file), weights_only=True)
    except Exception as error:  # torch, safetensors and pickle each raise their own kinds
        first = " ".join(line.strip() for line in str(error).splitlines()[:2]) or type(error).__name__  # torch names a weight in its second
        raise HelipError(f"{path}: its weights do not load ({first}); the file is broken or of another model") from error


def _of_name(reference: ModelRef, weights: bool) -> Checkpoint:
    """A model that open_clip keeps by name, or one of the Hugging Face hub."""
    if not reference.name.startswith("hf-hub:"):
        _check_name(reference, weights)
    try:
        with unlogged():
            model = open_clip.create_model(
                reference.name, pretrained=reference.pretrained, load_weights=weights, pretrained_text=False, weights_only=True
            )
            config = named(reference.name)
    except Exception as error:  # open_clip, huggingface_hub, safetensors and torch each raise their own
        raise HelipError(f"open_clip model '{reference}' could not be loaded ({reason(error)}); {_remedy(reference)}") from error
    return Checkpoint(short_captions(model), config, preprocess_of(open_clip.get_model_preprocess_cfg(model)))


def _check_name(reference: ModelRef, weights: bool) -> None:
    named(reference.name)
    if weights and reference.pretrained is None:
        raise HelipError(
            f"open_clip model '{reference.name}' needs pretrained weights: a file, or one of its tags: {_some_tags(reference.name)}; "
            f"write {reference.name}@TAG"
        )


def _some_tags(name: str) -> str:
    """Tags of a model's weights, the first few of many."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    return ", ".join(tags[:6] + ["..."] * (len(tags) > 6)) or "none"


def _remedy(reference: ModelRef) -> str:
    name, pretrained = reference.name, reference.pretrained
    if name.startswith("hf-hub:"):
        return "where there is network, open_clip fetches it; else copy ~/.cache/huggingface from such a machine"
    if pretrained not in open_clip.list_pretrained_tags_by_model(name):
        return f"'{pretrained}' must be a weights file that is there, or one of: {_some_tags(name)}"
    hub = (open_clip.get_pretrained_cfg(name, pretrained).get("hf_hub") or "").rstrip("/")
    source = f"run `hf download {hub} --local-dir DIR`" if hub else f"download {open_clip.get_pretrained_url(name, pretrained)}"
    return f"where there is network, {source} and give the weights file in place of the tag (NAME@FILE)"


def tokenizer_of(reference: ModelRef) -> tokenizer.Tokenize:
    """Returns the tokenizer of a checkpoint: captions -> [B, L] int64. Raises HelipError where its files are missing or are another
    model's.
    """
    name = reference.name
    if reference.folder is not None and frozen.KEY in (config := read_json(reference.folder / CONFIG)["model_cfg"]):
        return frozen.CaptionTrunk(lambda: frozen.open_trunk(config, "text"))
    try:
        tokenize: tokenizer.Tokenize = open_clip.get_tokenizer(name)
    except Exception as error:  # transformers and huggingface_hub raise many kinds
        where = f"where there is network, open_clip.get_tokenizer('{name}') fills ~/.cache/huggingface: copy that folder here"
        remedy = "export the model again" if reference.folder is not None else where
        raise HelipError(f"the tokenizer of open_clip model '{name}' could not be loaded ({reason(error)}); {remedy}") from error
    if reference.folder is not None:
        text_config = read_json(reference.folder / CONFIG)["model_cfg"].get("text_cfg", {})
        tokenizer.check_words(tokenize, text_config.get("vocab_size", open_clip.CLIPTextCfg.vocab_size), name)
    return tokenize


def open_start(start: str | Path) -> Clip:
    """Opens a checkpoint to refine, as `helip.models.reference` reads it. Raises HelipError where it is missing, broken or not a CLIP."""
    reference = parse(str(start))
    opened = create(reference)
    has_files = reference.folder is not None and bool(opened.config["text_cfg"].get("hf_tokenizer_name"))
    clip = Clip(opened.model, opened.config, opened.preprocess, tokenizer_of(reference), reference.folder if has_files else None)
    return _whole(clip, str(reference.folder or reference))


def existing(folder: Path) -> Path:
    """Returns the folder of a trained model. Raises HelipError where it is not there."""
    if not (folder / WEIGHTS).exists():
        raise HelipError(f"{folder / WEIGHTS}: not found; train it first (`snakemake {folder / WEIGHTS}` for a run of a study)")
    return folder


def _whole(clip: Clip, where: str) -> Clip:
    if isinstance(clip.model, FrozenClip):
        return clip  # there is no token that could be wrong
    if isinstance(clip.model, open_clip.CoCa):
        raise HelipError(f"{where}: is a CoCa, whose captioning head no objective here trains: start from a CLIP")
    if getattr(clip.model, "logit_bias", None) is not None:
        raise HelipError(f"{where}: was made for the sigmoid loss (SigLIP), and every objective here is a softmax: start from a CLIP")
    tokenizer.check(clip.tokenize, clip.config["text_cfg"], where)
    return clip
