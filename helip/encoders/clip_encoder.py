"""The two towers of an open_clip model as encoders: OpenAI's CLIP, SigLIP, or a folder of our own (local-dir:PATH)."""

from pathlib import Path

import torch

from helip.config import OpenClipEncoder
from helip.encoders.encoder import Encoder, feature_width, frozen, in_words, inference
from helip.models.architecture import shortened
from helip.models.digests import weights_digest
from helip.models.frozen import FrozenClip
from helip.models.loading import create, tokenizer_of
from helip.models.reference import ModelRef, parse


def load(declaration: OpenClipEncoder, device: str, pretrained: bool = True) -> Encoder:
    """Returns the tower that a declaration names; features_BD are its projections into the joint space, before normalisation.

    pretrained=False leaves the weights random. Raises HelipError where the model cannot be loaded.
    """
    named = parse(declaration.model)
    reference = named if pretrained else ModelRef(named.name)
    opened = create(reference, weights=pretrained)
    model = frozen(opened.model, device)
    weights = opened.key(weights_digest(model))
    scale = float(model.logit_scale.exp())
    width = opened.config["embed_dim"] if isinstance(model, FrozenClip) else None  # known without opening its trunks
    if declaration.modality == "image":
        transform = opened.transform()
        embed = inference(model.encode_image, device, declaration.precision)
        return Encoder(
            "image",
            width or feature_width(embed, transform),
            weights,
            in_words(transform),
            embed,
            transform,
            logit_scale=scale,
        )
    tokenize, encode = tokenizer_of(reference), inference(model.encode_text, device, declaration.precision)

    def embed_captions(captions: list[str]) -> torch.Tensor:
        return encode(shortened(tokenize(captions), model))

    words = f"open_clip's tokenizer of {Path(reference.name).name}, {tokenize.context_length} tokens"
    width = width or embed_captions([""]).shape[1]
    return Encoder("text", width, weights, words, embed_captions, logit_scale=scale)
