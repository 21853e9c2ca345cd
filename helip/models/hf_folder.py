"""The folder of a Hugging Face `CLIPModel`, read in open_clip's terms."""

import json
import logging
from pathlib import Path
from typing import Any

import open_clip

from helip.errors import HelipError
from helip.io import read_json
from helip.models import hf_config, hf_weights, tokenizer
from helip.models.layout import CONFIG, PREPROCESSOR, PROCESSOR, TRANSFORMERS_CONFIG, weights_file
from helip.models.weights import Weights, read

NAME = "of the CLIPModel"  # hf_tokenizer_name of a vocabulary that is not CLIP's own; open_clip reads the folder's files whatever it is
SPECIAL = 2  # CLIP's last two words, whose spelling differs between open_clip and transformers
log = logging.getLogger(__name__)


def is_hf_folder(folder: Path) -> bool:
    """Returns whether a folder is of transformers and not of open_clip."""
    return (folder / TRANSFORMERS_CONFIG).is_file() and not (folder / CONFIG).is_file()


def config_of(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the model_cfg and the preprocess_cfg of a CLIPModel's folder.

    Raises HelipError where it holds another model, or a tokenizer that is missing.
    """
    config = read_json(folder / TRANSFORMERS_CONFIG)
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "clip":
        siglip = "; of a SigLIP, give the same weights as open_clip has them (hf-hub:timm/ViT-B-16-SigLIP)" if kind == "siglip" else ""
        raise HelipError(f"{folder / TRANSFORMERS_CONFIG}: model_type is {kind}, and only clip (a CLIPModel) is converted{siglip}")
    architectures = config.get("architectures") or ["CLIPModel"]
    if "CLIPModel" not in architectures:
        raise HelipError(f"{folder}: holds a {architectures[0]}, one half of a model; give the folder of the whole CLIPModel")
    model_cfg = hf_config.to_open_clip(config, str(folder / TRANSFORMERS_CONFIG))
    if not _has_clips_words(folder, model_cfg["text_cfg"]["vocab_size"]):
        model_cfg["text_cfg"]["hf_tokenizer_name"] = NAME
    return model_cfg, hf_config.preprocess_of(_preprocessor(folder))


def _preprocessor(folder: Path) -> dict[str, Any]:
    """The settings of the image processor; none where the folder has none, for which a line says that CLIP's own are taken."""
    if (folder / PREPROCESSOR).is_file():
        settings: dict[str, Any] = read_json(folder / PREPROCESSOR)
        return settings
    wrapped: dict[str, Any] = read_json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
    if "image_processor" not in wrapped:
        log.warning("%s: has no %s; images are prepared as CLIP's are", folder, PREPROCESSOR)
    return dict(wrapped.get("image_processor") or {})


def weights_of(folder: Path) -> Weights:
    """Returns the weights of a CLIPModel's folder under open_clip's names. Raises HelipError where they are missing or broken."""
    file = weights_file(folder)
    if file is None:
        remedy = "save the model in one file (save_pretrained with max_shard_size='100GB')"
        raise HelipError(f"{folder}: has no model.safetensors or pytorch_model.bin; {remedy}")
    return hf_weights.to_open_clip(read(file))


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
    """Returns the tokenizer of a CLIPModel's folder."""
    context = model_cfg["text_cfg"]["context_length"]
    if "hf_tokenizer_name" not in model_cfg["text_cfg"]:
        own: tokenizer.Tokenize = open_clip.SimpleTokenizer(context_length=context)
        return own
    files: tokenizer.Tokenize = open_clip.tokenizer.HFTokenizer(str(folder), context_length=context)
    return files
