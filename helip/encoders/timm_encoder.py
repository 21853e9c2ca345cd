"""Image encoders of timm: any of its names, e.g. vit_small_patch8_224.dino, with the features before the classifier."""

import difflib
from pathlib import Path

import timm

from helip.config import TimmEncoder
from helip.encoders.encoder import Encoder, feature_width, frozen, in_words, inference, weights_digest
from helip.errors import HelipError


def load(declaration: TimmEncoder, device: str, pretrained: bool = True) -> Encoder:
    """features_BD are timm's pooled features (`num_classes=0`); with `logits`, the classifier's output as the released code has it."""
    model = frozen(_create(declaration, pretrained), device)
    if declaration.logits and not model.num_classes:
        raise HelipError(f"timm model '{declaration.model}' has no classifier, so there are no logits to take; leave out logits")
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    embed = inference(model, device)
    return Encoder(
        modality="image",
        dim=feature_width(embed, transform),
        weights=weights_digest(model),
        preprocessing=in_words(transform),
        embed=embed,
        prepare=transform,
        logits=declaration.logits,
    )


def _create(declaration: TimmEncoder, pretrained: bool):
    name = declaration.model
    options = {} if declaration.logits else {"num_classes": 0}
    if declaration.weights is not None:
        if not Path(declaration.weights).is_file():
            raise HelipError(f"timm model '{name}': there is no weights file {declaration.weights}; {_remedy(name)}")
        options["pretrained_cfg_overlay"] = {"file": declaration.weights}
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:  # timm, huggingface_hub and urllib each raise their own
        if not timm.is_model(name.partition(".")[0]):
            near = difflib.get_close_matches(name, timm.list_models(pretrained=True), n=3, cutoff=0.5)
            raise HelipError(f"timm has no model '{name}'; near it are {', '.join(near) or 'none: see timm.list_models()'}") from None
        reason = str(error).splitlines()[0]
        raise HelipError(f"the weights of timm model '{name}' could not be read ({reason}); {_remedy(name)}") from error


def _remedy(name: str) -> str:
    return f"where there is network, run `hf download timm/{name} model.safetensors --local-dir DIR` and set weights: DIR/model.safetensors"
