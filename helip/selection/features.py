"""The corpus as the model to be refined sees it: both towers' unit features, encoded once per checkpoint and shared by selections."""

import fcntl
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from helip import encoders
from helip.config import OpenClipEncoder
from helip.data.corpus import Corpus
from helip.encoders.cache import encode
from helip.encoders.encoder import Encoder
from helip.encoders.features import Features
from helip.models.loading import create
from helip.models.reference import ModelRef, parse

BLOCK = 4096  # rows of trunk features at a time


class TrunkRows(Protocol):
    """This protocol is what selection asks of cached trunk features; `helip.training.frozen.TrunkFeatures` has it."""

    def image_rows(self, views_B: np.ndarray, ids_B: np.ndarray) -> np.ndarray:
        """Returns the image trunk's features of these views of these images, float32 [B, D]."""

    def text_rows(self, ids_B: np.ndarray) -> np.ndarray:
        """Returns the text trunk's features of the first captions of these pairs, float32 [B, D]."""


def joint_features(
    model: str,
    pretrained: str | None,
    modality: Literal["image", "text"],
    corpus: Corpus,
    cache: Path,
    device: str,
    batch_size: int = 64,
    workers: int = 0,
    trunks: TrunkRows | None = None,
) -> tuple[Features, Encoder]:
    """Returns memory-mapped float32 [N, D] features of one tower, and the tower. With the cached `trunks` of a model whose trunks are
    frozen, its heads give them in memory.

    A killed encoding is resumed, and another process that encodes the same is waited for. HelipError where the model cannot be loaded.
    """
    declaration = OpenClipEncoder(modality=modality, model=str(ModelRef(model, pretrained)))
    encoder = encoders.load(declaration, device=device)
    if trunks is not None:
        return _of_trunks(declaration, trunks, corpus, cache), encoder
    folder = cache / modality
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f".{modality}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_of(folder, corpus, encoder):
            encode(declaration, encoder, corpus, folder, batch_size=batch_size, workers=workers, dtype="float32")
    return Features.open(folder, corpus.digest), encoder


@torch.inference_mode()
def _of_trunks(declaration: OpenClipEncoder, trunks: TrunkRows, corpus: Corpus, cache: Path) -> Features:
    """Of the images themselves and of first captions."""
    model = create(parse(declaration.model)).model.eval()
    parts = []
    for start in range(0, len(corpus), BLOCK):
        ids = np.arange(start, min(start + BLOCK, len(corpus)))
        if declaration.modality == "image":
            rows = model.encode_image(torch.from_numpy(trunks.image_rows(np.zeros_like(ids), ids)), normalize=True)
        else:
            rows = model.encode_text(torch.from_numpy(trunks.text_rows(ids)), normalize=True)
        parts.append(rows.numpy())
    return Features(np.concatenate(parts), {"corpus_digest": corpus.digest}, cache / declaration.modality)


def _is_of(folder: Path, corpus: Corpus, encoder: Encoder) -> bool:
    """Whether the features there are of this corpus by these very weights, whatever lies at the model's path by now."""
    from helip.io import read_json

    if not (folder / "features.json").is_file():
        return False
    metadata = read_json(folder / "features.json")
    expected = (corpus.digest, encoder.weights, encoder.preprocessing)
    return (metadata["corpus_digest"], metadata["weights_digest"], metadata["preprocessing"]) == expected


def target_features(encoder: Encoder, target: Any, batch_size: int = 64) -> np.ndarray:
    """Returns unit image features float32 [T, D] of the train images of an evaluation set (helip.evaluation.sets.EvaluationSet)."""
    images = torch.utils.data.DataLoader(target.open(encoder.prepare, "train"), batch_size=batch_size, collate_fn=_images)
    features_TD = torch.cat([encoder.embed(batch) for batch in images])
    return torch.nn.functional.normalize(features_TD, dim=1).numpy()


def _images(items: list[tuple[torch.Tensor, Any]]) -> torch.Tensor:
    return torch.stack([image for image, _ in items])
