"""The two towers of an open_clip model as encoders: OpenAI's CLIP, SigLIP, or a folder of our own (local-dir:PATH)."""

import difflib
from pathlib import Path

import open_clip
import torch

from helip.config import OpenClipEncoder
from helip.encoders.encoder import Encoder, feature_width, frozen, in_words, inference, weights_digest
from helip.encoders.network import reason, unlogged
from helip.errors import HelipError
from helip.io import read_json
from helip.models.layout import CONFIG
from helip.models.reference import ModelRef
from helip.models.tokenizer import check_words


def load(declaration: OpenClipEncoder, device: str, pretrained: bool = True) -> Encoder:
    """features_BD are the projections into the joint space, before normalisation."""
    model, transform = create(declaration.model, declaration.pretrained if pretrained else None, need_weights=pretrained)
    model = frozen(model, device)
    if declaration.modality == "image":
        embed, prepare, words = inference(model.encode_image, device), transform, in_words(transform)
        dim = feature_width(embed, prepare)
    else:
        tokenize, encode = tokenizer(declaration.model), inference(model.encode_text, device)

        def embed(captions: list[str]) -> torch.Tensor:
            return encode(tokenize(captions))

        prepare, words = None, f"open_clip's tokenizer of {Path(declaration.model).name}, {tokenize.context_length} tokens"
        dim = embed([""]).shape[1]
    return Encoder(declaration.modality, dim, weights_digest(model), words, embed, prepare)


def create(name: str, pretrained: str | None = None, need_weights: bool = True) -> tuple[torch.nn.Module, object]:
    """An open_clip model and its evaluation transform. HelipError for an unknown name, a folder that is none, weights not at hand."""
    _check(name, pretrained, need_weights)
    try:
        with unlogged():
            model, _, transform = open_clip.create_model_and_transforms(
                name, pretrained=pretrained, load_weights=need_weights, weights_only=True
            )
    except Exception as error:  # open_clip, huggingface_hub, safetensors and torch each raise their own
        raise HelipError(f"open_clip model '{name}' could not be loaded ({reason(error)}); {_remedy(name, pretrained)}") from error
    return model, transform


def tokenizer(name: str):
    """The tokenizer of an open_clip name or local-dir folder: captions -> [B, L] int64. HelipError where its files are not at hand."""
    try:
        found = open_clip.get_tokenizer(name)
    except Exception as error:  # transformers and huggingface_hub raise many kinds
        where = f"where there is network, open_clip.get_tokenizer('{name}') fills ~/.cache/huggingface: copy that folder here"
        remedy = "export the model again" if name.startswith("local-dir:") else where
        raise HelipError(f"the tokenizer of open_clip model '{name}' could not be loaded ({reason(error)}); {remedy}") from error
    if name.startswith("local-dir:"):
        text = read_json(Path(name.removeprefix("local-dir:")) / CONFIG)["model_cfg"].get("text_cfg", {})
        check_words(found, text.get("vocab_size", open_clip.CLIPTextCfg.vocab_size), name)
    return found


def _check(name: str, pretrained: str | None, need_weights: bool) -> None:
    folder = ModelRef(name).folder
    if folder is not None:
        if not (folder / "open_clip_config.json").is_file():
            raise HelipError(f"{folder}: no open_clip model folder (open_clip_config.json is missing); train or export the model first")
        return
    if name.startswith("hf-hub:"):
        return
    if name not in open_clip.list_models():
        near = difflib.get_close_matches(name, open_clip.list_models(), n=3)
        raise HelipError(f"open_clip has no model '{name}'; near it are {', '.join(near) or 'none: see open_clip.list_models()'}")
    if need_weights and pretrained is None:
        raise HelipError(f"open_clip model '{name}' needs pretrained weights: a file, or one of its tags: {_some(name)}")


def _some(name: str) -> str:
    """Tags of a model's weights, the first few of many."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    return ", ".join(tags[:6] + ["..."] * (len(tags) > 6)) or "none"


def _remedy(name: str, pretrained: str | None) -> str:
    if name.startswith("local-dir:"):
        return "build the folder again"
    if pretrained not in open_clip.list_pretrained_tags_by_model(name):
        return f"'{pretrained}' must be a weights file that is there, or one of: {_some(name)}"
    hub = (open_clip.get_pretrained_cfg(name, pretrained).get("hf_hub") or "").rstrip("/")
    source = f"run `hf download {hub} --local-dir DIR`" if hub else f"download {open_clip.get_pretrained_url(name, pretrained)}"
    return f"where there is network, {source} and give the weights file in place of the tag (NAME@FILE; in a study, pretrained: FILE)"
