"""Image encoders that only torchvision has, SWAG ViT-B/16 above all: the features that enter the classifier's last layer."""

import torch
from torch import nn
from torchvision import models

from helip.config import TorchvisionEncoder
from helip.encoders.encoder import Encoder, feature_width, frozen, in_words, inference
from helip.errors import HelipError
from helip.models.digests import weights_digest
from helip.models.network import reason


def load(declaration: TorchvisionEncoder, device: str, pretrained: bool = True) -> Encoder:
    """Returns the encoder of a torchvision classifier whose head (`heads`, `fc` or `classifier`) became the identity."""
    published = _published(declaration)
    model = _with_weights(declaration, published) if pretrained else models.get_model(declaration.model, weights=None, **_size(published))
    model = frozen(_headless(model, declaration.model), device)
    embed, prepare = inference(model, device, declaration.precision), published.transforms()
    return Encoder(
        modality="image",
        dim=feature_width(embed, prepare),
        weights=weights_digest(model),
        preprocessing=in_words(prepare),
        embed=embed,
        prepare=prepare,
    )


def _published(declaration: TorchvisionEncoder) -> models.WeightsEnum:
    if declaration.model not in models.list_models(module=models):
        raise HelipError(f"torchvision has no model '{declaration.model}'; see torchvision.models.list_models()")
    tags = models.get_model_weights(declaration.model)
    if declaration.tag not in tags.__members__:
        raise HelipError(f"torchvision has no weights '{declaration.tag}' of {declaration.model}; it has {', '.join(tags.__members__)}")
    return tags[declaration.tag]


def _size(published: models.WeightsEnum) -> dict[str, int]:
    """Vision transformers must be built for the image size of their weights (SWAG end to end: 384)."""
    return {"image_size": published.transforms().crop_size[0]} if published.meta.get("min_size", (1, 1))[0] > 100 else {}


def _with_weights(declaration: TorchvisionEncoder, published: models.WeightsEnum) -> nn.Module:
    remedy = f"where there is network, download {published.url} and set weights: to the file"
    try:
        if declaration.weights is None:
            return models.get_model(declaration.model, weights=published)
        model = models.get_model(declaration.model, weights=None, **_size(published))
        model.load_state_dict(torch.load(declaration.weights, map_location="cpu", weights_only=True))
        return model
    except Exception as error:  # urllib, pickle and torch each raise their own
        raise HelipError(f"the weights of torchvision model '{declaration.model}' could not be read ({reason(error)}); {remedy}") from error


def _headless(model: nn.Module, name: str) -> nn.Module:
    for head in ("heads", "fc", "classifier", "head"):
        if hasattr(model, head):
            setattr(model, head, nn.Identity())
            return model
    raise HelipError(f"torchvision model '{name}' has no classifier to take the features from; choose a classification model")
