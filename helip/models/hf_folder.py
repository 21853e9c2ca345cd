"""The folder of a Hugging Face `CLIPModel` or `SiglipModel`, read in open_clip's terms."""

import json
import logging
from pathlib import Path
from typing import Any

import open_clip

from helip.errors import HelipError
from helip.io import read_json
from helip.models import hf_config, hf_siglip, hf_weights, tokenizer
from helip.models.layout import CONFIG, PREPROCESSOR, PROCESSOR, TRANSFORMERS_CONFIG, weights_file
from helip.models.weights import Weights, read

WHOLE = {"clip": "CLIPModel", hf_siglip.KIND: "SiglipModel"}  # model_type -> the class that is converted
NAME = "of the CLIPModel"  # hf_tokenizer_name of a vocabulary that is not CLIP's own; open_clip reads the folder's files whatever it is
SPECIAL = 2  # CLIP's last two words, whose spelling differs between open_clip and transformers
log = logging.getLogger(__name__)


def is_hf_folder(folder: Path) -> bool:
    """Returns whether a folder is of transformers and not of open_clip."""
    return (folder / TRANSFORMERS_CONFIG).is_file() and not (folder / CONFIG).is_file()


def config_of(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the model_cfg and the preprocess_cfg of a CLIPModel's or a SiglipModel's folder.

    Raises HelipError where it holds another model, or a tokenizer that is missing.
    """
    config, where = read_json(folder / TRANSFORMERS_CONFIG), str(folder / TRANSFORMERS_CONFIG)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in WHOLE:
        siglip = "; of a SigLIP 2 for any size, give one of a fixed size (hf-hub:timm/ViT-B-16-SigLIP2)" if kind == "siglip2" else ""
        known = " and ".join(f"{kind} (a {whole})" for kind, whole in WHOLE.items())
        raise HelipError(f"{where}: model_type is {kind}, and only {known} are converted{siglip}")
    architectures = config.get("architectures") or [WHOLE[kind]]
    if WHOLE[kind] not in architectures:
        raise HelipError(f"{folder}: holds a {architectures[0]}, one half of a model; give the folder of the whole {WHOLE[kind]}")
    if kind == hf_siglip.KIND:
        return _siglip_of(folder, config, where)
    model_cfg = hf_config.to_open_clip(config, where)
    if not _has_clips_words(folder, model_cfg["text_cfg"]["vocab_size"]):
        model_cfg["text_cfg"]["hf_tokenizer_name"] = NAME
    return model_cfg, _preprocess_of(folder, {}, model_cfg)


def _siglip_of(folder: Path, config: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    model_cfg = hf_siglip.to_open_clip(config, where)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "spiece.model")):
        raise HelipError(f"{folder}: has no tokenizer.json or spiece.model; copy the tokenizer's files into it")
    model_cfg["text_cfg"]["hf_tokenizer_name"] = NAME
    side = model_cfg["vision_cfg"]["image_size"]
    return model_cfg, _preprocess_of(folder, hf_siglip.PREPROCESSING | {"size": {"height": side, "width": side}}, model_cfg)


def _preprocess_of(folder: Path, usual: dict[str, Any], model_cfg: dict[str, Any]) -> dict[str, Any]:
    """The preprocess_cfg of a folder's image processor; a line names the settings that open_clip has no counterpart of."""
    settings, side = _preprocessor(folder, usual), model_cfg["vision_cfg"]["image_size"]
    options = hf_config.preprocess_of(settings)
    if lost := hf_config.no_counterpart(settings, side):
        how = f"{options.get('resize_mode', 'shortest')}, {options.get('interpolation', 'bicubic')}"
        log.warning("%s: open_clip has no counterpart of %s; images are resized to %s (%s)", folder, ", ".join(lost), side, how)
    return options


def _preprocessor(folder: Path, usual: dict[str, Any]) -> dict[str, Any]:
    """The settings of the image processor; the usual ones where the folder has none, which a line says."""
    if (folder / PREPROCESSOR).is_file():
        settings: dict[str, Any] = read_json(folder / PREPROCESSOR)
        return settings
    wrapped: dict[str, Any] = read_json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
    if "image_processor" not in wrapped:
        log.warning("%s: has no %s; images are prepared as %s are", folder, PREPROCESSOR, "SigLIP's" if usual else "CLIP's")
    return dict(wrapped.get("image_processor") or usual)


def weights_of(folder: Path) -> Weights:
    """Returns the weights of such a folder under open_clip's names. Raises HelipError where they are missing or broken."""
    file = weights_file(folder)
    if file is None:
        remedy = "save the model in one file (save_pretrained with max_shard_size='100GB')"
        raise HelipError(f"{folder}: has no model.safetensors or pytorch_model.bin; {remedy}")
    siglip = read_json(folder / TRANSFORMERS_CONFIG).get("model_type") == hf_siglip.KIND
    return (hf_siglip.weights_to_open_clip if siglip else hf_weights.to_open_clip)(read(file))


def _has_clips_words(folder: Path, size: int) -> bool:
    """Whether the folder's vocabulary is CLIP's own, for which open_clip has its own tokenizer."""
    clips = open_clip.SimpleTokenizer()
    words = _words(folder)
    if words is None:
        if size != clips.vocab_size:
            raise HelipError(f"{folder}: has no tokenizer.json or vocab.json; copy the tokenizer's files into it")
        log.warning("%s: has no tokenizer; CLIP's own is taken", folder)
        return True
    last = clips.vocab_size - SPECIAL
    return size == clips.vocab_size and {w: i for w, i in words.items() if i < last} == {w: i for w, i in clips.encoder.items() if i < last}


def _words(folder: Path) -> dict[str, int] | None:
    if (folder / "tokenizer.json").is_file():
        vocabulary: Any = read_json(folder / "tokenizer.json")["model"]["vocab"]
    elif (folder / "vocab.json").is_file():
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    else:
        return None
    return vocabulary if isinstance(vocabulary, dict) else {word: i for i, (word, _) in enumerate(vocabulary)}


def tokenizer_of(folder: Path, model_cfg: dict[str, Any]) -> tokenizer.Tokenize:
    """Returns the tokenizer of such a folder; a SigLIP's captions are put in lower case without punctuation before it, as in training."""
    context = model_cfg["text_cfg"]["context_length"]
    if "hf_tokenizer_name" not in model_cfg["text_cfg"]:
        own: tokenizer.Tokenize = open_clip.SimpleTokenizer(context_length=context)
        return own
    kwargs = model_cfg["text_cfg"].get("tokenizer_kwargs", {})
    files: tokenizer.Tokenize = open_clip.tokenizer.HFTokenizer(str(folder), context_length=context, **kwargs)
    return files
