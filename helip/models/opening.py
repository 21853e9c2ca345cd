"""A checkpoint becomes a model in one way, whatever its reference: config, then network, then weights."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import load_big_vision_weights
from open_clip.model import set_model_preprocess_cfg
from open_clip.pretrained import download_pretrained, download_pretrained_from_hf
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image

from helip.errors import HelipError
from helip.io import read_json
from helip.models import frozen, hf_folder
from helip.models.architecture import ClipNetwork, build, check_parts, check_preprocess, named, preprocess_of
from helip.models.frozen import FrozenClip
from helip.models.hub import located
from helip.models.layout import CONFIG, WEIGHTS, weights_file
from helip.models.network import reason, unlogged
from helip.models.reference import HUB, ModelRef
from helip.models.tags import entry_of, remedy, some_tags
from helip.models.weights import Weights, fit, read

BIG_VISION = (".npz", ".npy")  # Google's own files of SigLIP


@dataclass(frozen=True)
class Checkpoint:
    """An open_clip model as `create` opens it. config: open_clip's model_cfg. preprocess: open_clip's preprocess_cfg, without the size.

    made_quick: the weights were trained with QuickGELU, and the name of the architecture did not say so.
    """

    model: ClipNetwork
    config: dict[str, Any]
    preprocess: dict[str, Any]
    made_quick: bool = False

    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """Returns the transform of evaluation: an RGB image -> float32 [3, H, W] as the model takes it."""
        if isinstance(self.model, FrozenClip):
            return self.model.transform
        transform: Callable[[Image.Image], torch.Tensor] = image_transform_v2(
            PreprocessCfg(**open_clip.get_model_preprocess_cfg(self.model)), is_train=False
        )
        return transform

    def key(self, digest: str) -> str:
        """Returns a digest of the weights, or of the model's name, that also stands for QuickGELU where neither tells it."""
        return hashlib.sha256(f"{digest} quick_gelu".encode()).hexdigest() if self.made_quick else digest


def create(reference: ModelRef, *, weights: bool = True) -> Checkpoint:
    """Returns the open_clip model that a reference names: the one way by which a checkpoint becomes a model.

    weights=False leaves them random, for tests of everything but the numbers. Weights are read without running code that may lie in them.
    Weights that were trained with QuickGELU are put into a model with QuickGELU, as open_clip's table says. Raises HelipError for an
    architecture, tag or folder that is not there, a broken file, and weights of another model.
    """
    reference = located(reference)
    return _of_folder(reference.folder, weights) if reference.folder is not None else _of_name(reference, weights)


def _of_folder(path: Path, weights: bool) -> Checkpoint:
    """A folder in open_clip's local-dir layout, weights as safetensors, or a pickle that weights_only accepts; or one of transformers."""
    if path.is_file():
        remedy = f"write NAME@{path.name} with its architecture's name, or `helip import` a published SLIP or DeCLIP checkpoint"
        raise HelipError(f"{path}: is a file, not a model folder; {remedy}")
    if not path.is_dir():
        remedy = "give an open_clip folder, or NAME@TAG (ViT-B-32@laion2b_s34b_b79k); a run of a study must be trained first"
        raise HelipError(f"{path}: is not there; {remedy}")
    if hf_folder.is_hf_folder(path):
        config, preprocess = hf_folder.config_of(path)
        return _made(config, preprocess, hf_folder.weights_of(path) if weights else None, str(path))
    config, preprocess = _configs(path / CONFIG)
    if frozen.KEY in config:
        return _frozen(path, config, weights)
    return _made(config, preprocess, _weights_in(path) if weights else None, str(path))


def _configs(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model_cfg and preprocess_cfg of an open_clip_config.json."""
    if not file.is_file():
        raise HelipError(f"{file.parent}: no open_clip model folder ({CONFIG} is missing); train or export the model first")
    content = read_json(file)
    config = content.get("model_cfg")
    if not isinstance(config, dict):
        raise HelipError(f"{file}: has no model_cfg; it is not an open_clip folder")
    check_parts(config, f"{file}: model_cfg")
    return config, content.get("preprocess_cfg", {})


def _weights_in(path: Path) -> Weights:
    file = weights_file(path)
    if file is None:
        raise HelipError(f"{path}: has no {WEIGHTS}; give a folder that open_clip can load")
    return read(file)


def _made(config: dict[str, Any], preprocess: dict[str, Any], weights: Weights | Path | None, where: str) -> Checkpoint:
    """The model of a config, with weights or a file of big_vision's, or left random."""
    if isinstance(weights, dict) and "logit_bias" in weights and config.get("init_logit_bias") is None:
        config = copy.deepcopy(config) | {"init_logit_bias": float(weights["logit_bias"].mean())}  # trained by open_clip_train --siglip
    check_preprocess(preprocess, where)
    model = build(config, drawn=not isinstance(weights, dict))  # `fit` refuses weights that do not fill all of it
    _check_timm(model, config, where)
    if isinstance(weights, Path):
        load_big_vision_weights(model, str(weights))
    elif weights is not None:
        fit(model, weights, where)
    complete = merge_preprocess_dict(asdict(PreprocessCfg()), preprocess)
    if hasattr(model.visual, "image_size"):
        complete["size"] = model.visual.image_size
    set_model_preprocess_cfg(model, complete)
    return Checkpoint(model, config, preprocess_of(preprocess))


def _check_timm(model: ClipNetwork, config: dict[str, Any], where: str) -> None:
    """Refuses a size that a timm tower does not take: open_clip builds it by its name alone."""
    patches = getattr(getattr(model.visual, "trunk", None), "patch_embed", None)
    takes = getattr(patches, "img_size", None) if getattr(patches, "strict_img_size", False) else None
    asked = getattr(model.visual, "image_size", None)
    if takes and asked and tuple(takes) != tuple(asked):
        name = config["vision_cfg"]["timm_model_name"]
        remedy = "take an architecture whose timm tower is of that size"
        raise HelipError(f"{where}: vision_cfg.image_size is {asked[0]} and timm's {name} takes {takes[0]}: {remedy}")


def _frozen(path: Path, config: dict[str, Any], weights: bool) -> Checkpoint:
    """The heads of a folder over the trunks that it names, which are opened and compared when something asks for them."""
    frozen.check_config(config, f"{path / CONFIG}: model_cfg")
    model = FrozenClip(config)
    if weights:
        fit(model, _weights_in(path), str(path))
    return Checkpoint(model, config, {})


def _of_name(reference: ModelRef, weights: bool) -> Checkpoint:
    """A model that open_clip keeps by name, or one of the Hugging Face hub."""
    if not reference.name.startswith(HUB):
        _check_name(reference, weights)
    try:
        with unlogged():
            config, preprocess = _named(reference)
            file = _file(reference) if weights else None
    except HelipError:
        raise
    except Exception as error:  # open_clip, huggingface_hub and urllib each raise their own
        raise HelipError(f"open_clip model '{reference}' could not be loaded ({reason(error)}); {remedy(reference)}") from error
    made_quick = bool(entry_of(reference).get("quick_gelu")) and not config.get("quick_gelu")
    if made_quick:
        config |= {"quick_gelu": True}
    given = None if file is None else file if file.suffix in BIG_VISION else read(file)
    opened = _made(config, preprocess, given, str(reference))
    whole = preprocess_of(open_clip.get_model_preprocess_cfg(opened.model))
    return Checkpoint(opened.model, opened.config, whole, made_quick)


def _named(reference: ModelRef) -> tuple[dict[str, Any], dict[str, Any]]:
    if reference.name.startswith(HUB):
        return _configs(Path(download_pretrained_from_hf(reference.name.removeprefix(HUB), filename=CONFIG)))
    return named(reference.name), entry_of(reference)


def _file(reference: ModelRef) -> Path | None:
    """The weights, fetched where they are a tag's or the hub's."""
    if reference.name.startswith(HUB):
        return Path(download_pretrained_from_hf(reference.name.removeprefix(HUB)))
    tag = open_clip.get_pretrained_cfg(reference.name, reference.pretrained or "")
    if tag:
        return Path(download_pretrained(tag))
    if reference.file is None:
        raise HelipError(f"open_clip model '{reference}' could not be loaded; {remedy(reference)}")
    return reference.file


def _check_name(reference: ModelRef, weights: bool) -> None:
    named(reference.name)
    if weights and reference.pretrained is None:
        raise HelipError(
            f"open_clip model '{reference.name}' needs pretrained weights: a file, or one of its tags: {some_tags(reference.name)}; "
            f"write {reference.name}@TAG"
        )
