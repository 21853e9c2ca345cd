"""Frozen encoders whose cosines say which pairs are hard: timm, open_clip, sentence-transformers, or trained on the corpus itself."""

from pathlib import Path
from typing import TYPE_CHECKING

from helip.config import Encoder as EncoderConfig
from helip.config import OpenClipEncoder, RunEncoder, SelfSupervisedEncoder, SentenceEncoder, TimmEncoder, TorchvisionEncoder, TrunkEncoder
from helip.errors import HelipError
from helip.models import reference
from helip.models.network import offline_if_unreachable

if TYPE_CHECKING:
    from helip.encoders.encoder import Encoder

FORMS = (
    "timm:NAME, torchvision:NAME@TAG, sentence_transformers:NAME, open_clip-image:MODEL or open_clip-text:MODEL, "
    f"where MODEL is {reference.FORMS}"
)


def load(declaration: EncoderConfig, folder: Path | None = None, device: str = "cpu", pretrained: bool = True) -> "Encoder":
    """Returns the encoder that a declaration names.

    folder: of an encoder that the study itself makes, where its stage `train_encoder` or `train` put it. pretrained=False builds
    the network with random weights, for tests of everything but the numbers. HelipError where the name is unknown or the weights
    cannot be had.
    """
    offline_if_unreachable()
    match declaration:  # each library is imported only when it is asked for: they take seconds
        case TimmEncoder():
            from helip.encoders import timm_encoder

            return timm_encoder.load(declaration, device, pretrained)
        case TorchvisionEncoder():
            from helip.encoders import torchvision_encoder

            return torchvision_encoder.load(declaration, device, pretrained)
        case OpenClipEncoder():
            from helip.encoders import clip_encoder

            return clip_encoder.load(declaration, device, pretrained)
        case SentenceEncoder():
            from helip.encoders import sentence_encoder

            return sentence_encoder.load(declaration, device)
        case SelfSupervisedEncoder():
            from helip.encoders import simclr

            if folder is None:
                raise HelipError("a simclr encoder has no weights before the stage train_encoder made them; say where they are")
            return simclr.load(declaration, folder, device)
        case TrunkEncoder(model=model):
            raise HelipError(f"the trunk of model '{model}' is of a study; name the encoder that it is")
        case RunEncoder(modality=modality):
            from helip.encoders import clip_encoder

            if folder is None:
                raise HelipError("a run's tower is of a study; for a model of your own write open_clip-image:local-dir:FOLDER")
            return clip_encoder.load(OpenClipEncoder(modality=modality, model=f"local-dir:{folder}"), device)


def parse(text: str) -> EncoderConfig:
    """Returns an encoder as the command line writes it, see FORMS. Raises HelipError for any other text."""
    library, _, name = text.partition(":")
    model, _, pretrained = name.partition("@")
    match library:
        case "timm" if name:
            return TimmEncoder(model=name)
        case "torchvision" if pretrained:
            return TorchvisionEncoder(model=model, tag=pretrained)
        case "sentence_transformers" if name:
            return SentenceEncoder(model=name)
        case "open_clip-image" | "open_clip-text" if name:
            return OpenClipEncoder(modality=library.removeprefix("open_clip-"), model=str(reference.parse(name)))
    raise HelipError(f"'{text}' names no encoder; write {FORMS}")
