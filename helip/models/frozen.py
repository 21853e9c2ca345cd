"""A CLIP of two frozen encoders, its trunks, and trainable heads over their features; the trunks' last blocks may be trained too.

The model's folder holds what is trained and names the trunks: their weights stay where the encoder's library or package keeps them, and are
compared by digest when the model is opened.
"""

import functools
import math
import pkgutil
from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn.functional import layer_norm
from torch.nn.functional import normalize as normalise

from helip.config import Encoder, FrozenModel
from helip.errors import HelipError

KEY = "frozen"  # of model_cfg in the folder of such a model
Side = Literal["image", "text"]


class Trunk(Protocol):
    """This protocol is what a model asks of a trunk; `helip.encoders.encoder.Encoder` has it."""

    @property
    def dim(self) -> int:
        """The width D of a feature."""

    @property
    def weights(self) -> str:
        """The digest of all parameters and buffers, in hexadecimal."""

    @property
    def embed(self) -> Callable[[Any], Tensor]:
        """Turns stacked images, or captions, into features [B, D]: float32, on the CPU."""

    @property
    def prepare(self) -> Callable[[Image.Image], Tensor] | None:
        """Turns an RGB image into the tensor that the trunk takes; None for a trunk of captions."""


class Head(nn.Module):
    """A head is linear, GELU, dropout, linear, over features that are standardised by `mean` and `std`, [D] each.

    A residual head standardises each feature by itself, and adds what it makes of it to the feature: nothing, until it is trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, hidden: int, embed_dim: int, dropout: float, residual: bool = False):
        super().__init__()
        self._residual, self.width, self.embed_dim = residual, hidden, embed_dim
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        last = nn.Linear(hidden, embed_dim)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), last)
        if residual:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, features_BD: Tensor) -> Tensor:
        """Takes a trunk's features [B, D] and returns [B, embed_dim], not normalised."""
        projected: Tensor = self.layers[-1](self.hidden(features_BD))
        return features_BD + projected if self._residual else projected

    def hidden(self, features_BD: Tensor) -> Tensor:
        """Takes a trunk's features [B, D] and returns what the hidden layer makes of them, [B, hidden]."""
        own = layer_norm(features_BD, features_BD.shape[-1:]) if self._residual else (features_BD - self.mean) / self.std
        hidden: Tensor = self.layers[:-1](own)
        return hidden


class FrozenClip(nn.Module):
    """This stands where open_clip's CLIP stands. Its weights are the heads, the logit scale and the trunks' unfrozen blocks, where it has
    any; what is frozen is no part of them. Where blocks are unfrozen, "the trunk" is what comes before them.

    `config` is the model_cfg of `config_of`. Images are pixels [B, 3, H, W] or, for training, the image trunk's features [B, D]. In place
    of tokens it takes the text trunk's features, which `CaptionTrunk` makes of captions.
    """

    trunks: Tensor

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        parts = config[KEY]
        sizes = parts["hidden"], config["embed_dim"], parts["dropout"], parts.get("head") == "residual"
        widths = [parts[f"{side}_trunk"]["dim"] for side in ("image", "text")]
        self.image_blocks: nn.Module | None = None
        self.text_blocks: nn.Module | None = None
        if parts.get("unfrozen_blocks"):
            self.image_blocks, self.text_blocks = last_blocks(config, "image"), last_blocks(config, "text")
            widths = [self.image_blocks.width, self.text_blocks.width]
        self.image_head, self.text_head = (Head(width, *sizes) for width in widths)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        digests = [list(bytes.fromhex(parts[f"{side}_trunk"]["weights"])) for side in ("image", "text")]
        self.register_buffer("trunks", torch.tensor(digests, dtype=torch.uint8))  # so that a digest of the weights covers them
        self.visual = None  # no tower of open_clip's is in here
        self._config = config
        self._image_trunks: dict[str, Trunk] = {}

    def image_trunk(self, device: str) -> Trunk:
        """Returns the image trunk on a device, opened once. Raises HelipError where it cannot be had or has other weights."""
        if device not in self._image_trunks:
            self._image_trunks[device] = open_trunk(self._config, "image", device)
        return self._image_trunks[device]

    @property
    def unfrozen(self) -> tuple[int, ...]:
        """How many blocks of each trunk are trained, and the context length of their cached input; nothing where the trunks are frozen."""
        return _cut(self._config)

    @property
    def transform(self) -> "TrunkTransform":
        """The image trunk's own preprocessing: an RGB image -> [3, H, W]."""
        return TrunkTransform(self)

    @property
    def image_encoder(self) -> dict[str, Any]:
        """The declaration of the image trunk."""
        declared: dict[str, Any] = self._config[KEY]["image_trunk"]["encoder"]
        return declared

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Takes pixels [B, 3, H, W] or trunk features [B, D] and returns image features [B, embed_dim], unit length if `normalize`."""
        if image.ndim == 4:
            device = self.logit_scale.device
            image = (
                self.image_trunk(str(device)).embed(image).to(device).clone()
            )  # a copy may be part of a graph, what inference gave may not
        features_BD: Tensor = self.image_head(self.image_blocks(image) if self.image_blocks else image)
        return normalise(features_BD, dim=-1) if normalize else features_BD

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Takes the text trunk's features [B, D] and returns text features [B, embed_dim], unit length if `normalize`."""
        features_BD: Tensor = self.text_head(self.text_blocks(text) if self.text_blocks else text)
        return normalise(features_BD, dim=-1) if normalize else features_BD


class TrunkTransform:
    """The preprocessing of a model's image trunk, which is opened with the first image: cached features need no trunk."""

    def __init__(self, model: FrozenClip):
        self._model = model

    def __str__(self) -> str:
        return f"as {self._model.image_encoder}"

    def __call__(self, image: Image.Image) -> Tensor:
        prepare = self._model.image_trunk("cpu").prepare
        assert prepare is not None  # as every image encoder has it
        return prepare(image)


class CaptionTrunk:
    """This stands where a tokenizer stands: captions become the text trunk's features, float32 [B, D].

    `open_it` gives the trunk, and is called with the first captions: cached features need no trunk.
    """

    def __init__(self, open_it: Callable[[], Trunk]):
        self._open, self.context_length = functools.cache(open_it), 0  # no tokens come out

    def __call__(self, captions: list[str]) -> Tensor:
        return self._open().embed(captions).clone()


class Trunks:
    """The two trunks of a model as a network of their own: what is cached of an evaluation set is cached of these."""

    def __init__(self, model: FrozenClip):
        self._model = model

    def encode_image(self, image: Tensor) -> Tensor:
        """Takes pixels [B, 3, H, W] and returns the image trunk's features [B, D]."""
        return self._model.image_trunk(str(image.device)).embed(image)

    def encode_text(self, text: Tensor) -> Tensor:
        """Takes the text trunk's features [B, D], which CaptionTrunk makes of captions, and returns them."""
        return text


def config_of(declaration: FrozenModel, image: tuple[Encoder, Trunk], text: tuple[Encoder, Trunk]) -> dict[str, Any]:
    """Returns the model_cfg of a declaration and its two trunks, each as (declaration, encoder).

    Raises HelipError where a trunk is of the wrong modality, or an encoder that a study trains itself.
    """
    parts: dict[str, Any] = {"hidden": declaration.hidden, "dropout": declaration.dropout}
    parts |= {"head": declaration.head} if declaration.head != "mlp" else {}
    cut = {"unfrozen_blocks": declaration.unfrozen_blocks, "context_length": declaration.context_length}
    parts |= cut if declaration.unfrozen_blocks else {}
    for side, name, (declared, trunk) in (("image", declaration.image_trunk, image), ("text", declaration.text_trunk, text)):
        check_trunk(side, name, declared)
        if declaration.head == "residual" and trunk.dim != declaration.embed_dim:
            raise HelipError(
                f"{side}_trunk: '{name}' gives {trunk.dim} numbers, and a residual head needs embed_dim {declaration.embed_dim}"
            )
        parts[f"{side}_trunk"] = {"encoder": declared.model_dump(mode="json"), "weights": trunk.weights, "dim": trunk.dim}
    size = list(image[1].prepare(Image.new("RGB", (64, 64))).shape[-2:]) if image[1].prepare else [0, 0]
    return {"embed_dim": declaration.embed_dim, "vision_cfg": {"image_size": size}, "text_cfg": {}, KEY: parts}


def check_trunk(side: str, name: str, declared: Encoder) -> None:
    """Refuses a trunk of the wrong modality, and an encoder that a study trains itself, whose weights an exported model could not name."""
    if declared.modality != side:
        raise HelipError(f"{side}_trunk: '{name}' is an encoder of {declared.modality}s; name one whose modality is {side}")
    if declared.library in ("simclr", "run", "trunk"):
        raise HelipError(
            f"{side}_trunk: '{name}' is trained by the study itself ({declared.library}); name an encoder with published weights"
        )


def open_trunk(config: dict[str, Any], side: Side, device: str = "cpu") -> Trunk:
    """Returns a trunk of a model_cfg. Raises HelipError where it cannot be had, or where its weights are not those of the training."""
    written, cut = config[KEY][f"{side}_trunk"], _cut(config)
    load: Callable[..., Trunk] = pkgutil.resolve_name("helip.encoders.blocks:front" if cut else "helip.encoders:load")
    trunk = load(declared_trunk(written), *cut, device=device)
    if trunk.weights != written["weights"]:
        which = f"{written['encoder'].get('library')} {written['encoder'].get('model')}"
        raise HelipError(
            f"the {side} trunk {which} has other weights than the model's heads were trained on: restore those, or train again"
        )
    return trunk


def last_blocks(config: dict[str, Any], side: Side) -> Any:
    """Returns the unfrozen blocks of a trunk of a model_cfg, with their published weights. HelipError where they cannot be had."""
    load: Callable[..., Any] = pkgutil.resolve_name("helip.encoders.blocks:last_blocks")  # by a string: encoders stand above models
    return load(declared_trunk(config[KEY][f"{side}_trunk"]), _cut(config)[0])


def _cut(config: dict[str, Any]) -> tuple[int, ...]:
    """(unfrozen blocks, context length), or nothing where the trunks are frozen."""
    parts = config[KEY]
    return (parts["unfrozen_blocks"], parts["context_length"]) if parts.get("unfrozen_blocks") else ()


def declared_trunk(written: dict[str, Any]) -> Encoder:
    """Returns the encoder that a trunk of a model_cfg names; HelipError where there is none like it."""
    try:
        declared: Encoder = TypeAdapter(Encoder).validate_python(written["encoder"])
    except ValidationError as error:
        raise HelipError(f"a frozen trunk is no encoder that is known ({error.errors()[0]['msg']}); export the model again") from None
    return declared


def only_here(where: str) -> HelipError:
    """Returns the sentence for who would have a model on frozen trunks opened elsewhere."""
    return HelipError(f"{where}: its trunks are frozen encoders of other libraries, and only helip opens it; use its folder as it is")


def check_config(config: dict[str, Any], where: str) -> None:
    """Refuses a model_cfg that does not say what the trunks and heads are."""
    parts = config[KEY]
    trunks = [parts.get(f"{side}_trunk") if isinstance(parts, dict) else None for side in ("image", "text")]
    if (
        not all(isinstance(t, dict) and {"encoder", "weights", "dim"} <= t.keys() for t in trunks)
        or not {"hidden", "dropout"} <= parts.keys()
        or ("unfrozen_blocks" in parts and not {"context_length"} <= parts.keys())
    ):
        raise HelipError(f"{where}: {KEY} lacks a trunk or the size of the heads; export the model again")
