"""A CLIP model under evaluation, and what its features depend on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image

from helip.encoders.encoder import frozen, in_words
from helip.errors import HelipError
from helip.io import digest, file_digest
from helip.models.architecture import shortened
from helip.models.digests import weights_digest
from helip.models.frozen import FrozenClip, Trunks
from helip.models.hf_folder import is_hf_folder
from helip.models.hub import located
from helip.models.layout import CONFIG, PREPROCESSOR, PROCESSOR, TOKENIZER, TRANSFORMERS_CONFIG, WEIGHTS, weights_file
from helip.models.loading import ClipNetwork, create, tokenizer_of
from helip.models.reference import ModelRef, parse


@dataclass(frozen=True)
class ClipModel:
    """This is a loaded CLIP. `key` stands for everything in it that shapes a feature: weights, architecture, tokenizer, image
    preprocessing.
    """

    network: ClipNetwork
    transform: Callable[[Image.Image], torch.Tensor]
    tokenize: Callable[[list[str]], torch.Tensor]
    checkpoint: str  # sha256 of the safetensors file; of the parameters for a model that open_clip keeps by name
    surroundings: str  # digest of the config and tokenizer files
    device: str
    trunks: "ClipModel | None" = None  # of a model whose trunks are frozen: these alone, of which features are kept for all its heads

    @cached_property
    def preprocessing(self) -> str:
        """Returns a digest of the image preprocessing."""
        return digest(in_words(self.transform))

    @cached_property
    def key(self) -> str:
        """Returns a digest of the weights, the architecture and the tokenizer."""
        return digest([self.checkpoint, self.surroundings])

    @torch.inference_mode()
    def encode_images(self, batch_BCHW: torch.Tensor) -> torch.Tensor:
        """Returns [B, D] float32 on the CPU, not normalised, of images or of their features by the trunks."""
        return self.network.encode_image(batch_BCHW.to(self.device, non_blocking=True)).float().cpu()

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        """Returns [B, D] float32 on the CPU, not normalised."""
        return self.encode_tokens(shortened(self.tokenize(texts), self.network))

    @torch.inference_mode()
    def encode_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns [B, D] float32 on the CPU, not normalised, of tokens [B, L] or of the text trunk's features [B, D]."""
        return self.network.encode_text(tokens.to(self.device)).float().cpu()


def load(name: str, device: str | None = None) -> ClipModel:
    """Returns a checkpoint, named as `helip.models.reference` reads it; HelipError where it cannot be loaded."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = located(parse(name))
    if checkpoint.folder is not None:
        return _of_folder(checkpoint.folder, device)
    opened = create(checkpoint)
    return ClipModel(
        frozen(opened.model, device),
        opened.transform(),
        tokenizer_of(checkpoint),
        weights_digest(opened.model),
        opened.key(digest(checkpoint.name)),
        device,
    )


def _of_folder(folder: Path, device: str) -> ClipModel:
    weights = weights_file(folder)
    if weights is None:
        raise HelipError(f"{folder / WEIGHTS}: not found; train the run first, or name a folder that holds {WEIGHTS} and {CONFIG}")
    checkpoint = file_digest(weights)
    reference = ModelRef(f"local-dir:{folder}")
    opened = create(reference)
    if file_digest(weights) != checkpoint:
        raise HelipError(f"{weights}: was overwritten while it was read; run again when its training has ended")
    configs = (TRANSFORMERS_CONFIG, PREPROCESSOR, PROCESSOR) if is_hf_folder(folder) else (CONFIG,)
    files = [folder / name for name in (*configs, *TOKENIZER)]
    surroundings = digest({f.name: file_digest(f) for f in files if f.is_file()})
    transform, tokenize = opened.transform(), tokenizer_of(reference)
    trunks = None
    if isinstance(opened.model, FrozenClip):
        weights_of_both, cut = opened.model.trunks.numpy().tobytes().hex(), opened.model.unfrozen
        where = digest(["trunks", *cut] if cut else "trunks")
        trunks = ClipModel(Trunks(opened.model), transform, tokenize, digest(weights_of_both), where, device)
    return ClipModel(frozen(opened.model, device), transform, tokenize, checkpoint, surroundings, device, trunks)
