"""Heads on frozen trunks: new ones, some over the towers of a CLIP, some whose trunks' last blocks thaw; what they say of a corpus."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helip.config import Encoder as EncoderConfig
from helip.config import FrozenModel, OpenClipEncoder, TrunkEncoder
from helip.encoders import cache
from helip.encoders import load as load_encoder
from helip.errors import HelipError
from helip.models.frozen import KEY, CaptionTrunk, FrozenClip, config_of, declared_trunk
from helip.models.loading import Clip, open_start
from helip.training.batches import Corpus
from helip.training.frozen.cache import TrunkFeatures, Trunks

BLOCK = 2048  # rows at a time
LEAST = 0.1  # of the median deviation
SAMPLE = 8192  # rows of which a head's mean and deviation are taken, where blocks of the trunks are unfrozen


def new(declaration: FrozenModel, trunks: Trunks, features: TrunkFeatures, seed: int) -> Clip:
    """Returns a model to train whose heads are drawn from `seed` and standardise features by their mean and deviation in the corpus.

    HelipError is raised for a trunk of the wrong modality.
    """
    config = config_of(declaration, *trunks)
    torch.manual_seed(seed)
    model = FrozenClip(config)
    sides = (model.image_head, model.image_blocks, features.images[0]), (model.text_head, model.text_blocks, features.texts)
    for head, blocks, rows_ND in sides:
        mean_D, std_D = _moments(_through(blocks, rows_ND) if blocks else rows_ND)
        head.mean.copy_(torch.from_numpy(mean_D))
        head.std.copy_(torch.from_numpy(std_D))
    return Clip(model, config, {}, CaptionTrunk(lambda: trunks[1][1]))


def over_towers(declaration: FrozenModel, reference: str, trunks: Trunks) -> Clip:
    """Returns a model with residual heads over the towers of a CLIP, which gives that CLIP's features until it is trained.

    HelipError is raised where the CLIP cannot be opened.
    """
    config, towers = config_of(declaration, *trunks), open_start(reference)
    model = FrozenClip(config)
    with torch.no_grad():
        model.logit_scale.copy_(towers.model.logit_scale.reshape(()))
    return Clip(model, config, {}, CaptionTrunk(lambda: trunks[1][1]))


def thawed(declaration: FrozenModel, trunks: Trunks, start: Clip) -> Clip:
    """Returns a start on frozen trunks with the last blocks of the trunks in it, to be trained: it gives the start's features until then.

    HelipError is raised where the start's trunks, or its heads, are others than the declaration's.
    """
    config = config_of(declaration, *trunks)
    ours, theirs = (_without_cut(one[KEY]) | {"embed_dim": one["embed_dim"]} for one in (config, start.config))
    if ours != theirs:
        unlike = ", ".join(sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)))
        raise HelipError(f"the start is of another model than the one with unfrozen blocks ({unlike}): declare both alike")
    model = FrozenClip(config)
    model.load_state_dict(model.state_dict() | start.model.state_dict())
    return Clip(model, config, {}, CaptionTrunk(lambda: trunks[1][1]))


def _without_cut(parts: dict[str, Any]) -> dict[str, Any]:
    """What says which trunks and heads a model has, wherever its trunks are cut."""
    rest: dict[str, Any] = {name: value for name, value in parts.items() if name not in ("unfrozen_blocks", "context_length")}
    for side in ("image_trunk", "text_trunk"):
        rest[side] = rest[side]["weights"], declared_trunk(rest[side])
    return rest


@torch.inference_mode()
def _through(blocks: torch.nn.Module, rows_ND: np.ndarray) -> np.ndarray:
    """What unfrozen blocks make of rows, of at most SAMPLE of them, evenly taken."""
    some = np.arange(0, len(rows_ND), -(-len(rows_ND) // SAMPLE))
    parts = [blocks(torch.from_numpy(np.asarray(rows_ND[ids], np.float32))) for ids in np.split(some, range(BLOCK, len(some), BLOCK))]
    return torch.cat(parts).numpy()


def _moments(rows_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each feature and its deviation, or LEAST of their median where that is more: else a feature that hardly varies in the
    corpus would outweigh all others in the one image where it does. Where most features are constant the largest stands for the median.
    """
    blocks = [slice(start, start + BLOCK) for start in range(0, len(rows_ND), BLOCK)]
    mean_D = sum(rows_ND[b].sum(0, dtype=np.float64) for b in blocks) / len(rows_ND)
    variance_D = sum(np.square(rows_ND[b] - mean_D).sum(0) for b in blocks) / len(rows_ND)
    std_D = np.sqrt(variance_D)
    return mean_D, np.maximum(std_D, LEAST * (np.median(std_D) or std_D.max())) + 1e-6


class _TrunkRows:
    """A corpus whose images are the image trunk's features of view 0."""

    def __init__(self, corpus: Corpus, features: TrunkFeatures):
        self.digest, self._corpus, self._features = corpus.digest, corpus, features

    def __len__(self) -> int:
        return len(self._corpus)

    def image(self, row: int) -> Any:
        """Returns the features [D] of a pair's image, float32."""
        return np.array(self._features.images[0, row], np.float32)  # a copy: torch wants to write where the cache is not

    def caption(self, row: int) -> str:
        """Returns the first caption of a pair."""
        return self._corpus.caption(row)


def encode_by_heads(
    declaration: EncoderConfig, model: Path, features: TrunkFeatures, corpus: Corpus, out: Path, *, dtype: str = "float16"
) -> None:
    """Writes the features of a corpus by one tower of a model on frozen trunks, as `helip.encoders.cache.encode` does, from what its
    trunks say of it already: no image is opened. HelipError is raised where the model cannot be opened.
    """
    named = OpenClipEncoder(modality="image" if declaration.modality == "image" else "text", model=f"local-dir:{model}")
    encoder, heads = load_encoder(named), open_start(model).model.eval().requires_grad_(False)
    rows: Any = _TrunkRows(corpus, features)
    if declaration.modality == "image":
        fast = dataclasses.replace(encoder, prepare=torch.from_numpy, embed=lambda batch: heads.encode_image(batch).float())
    else:
        place = {corpus.caption(i): i for i in range(len(corpus))}

        def embed(captions: list[str]) -> torch.Tensor:
            """Returns the features [B, D] of captions by the text head."""
            ids = np.array([place[caption] for caption in captions])
            return heads.encode_text(torch.from_numpy(features.text_rows(ids))).float()

        fast = dataclasses.replace(encoder, embed=embed)
    cache.encode(declaration, fast, rows, out, batch_size=BLOCK, dtype=dtype)


def encode_by_trunk(declaration: TrunkEncoder, trunks: Trunks, features: TrunkFeatures, corpus: Corpus, out: Path) -> None:
    """Writes the features of a corpus by one of its trunks, as `helip.encoders.cache.encode` does, from the cache: of whole images, and of
    first captions.
    """
    rows: Any = _TrunkRows(corpus, features)
    if declaration.modality == "image":
        fast = dataclasses.replace(trunks[0][1], prepare=torch.from_numpy, embed=lambda batch: batch)
    else:
        place = {corpus.caption(i): i for i in range(len(corpus))}
        fast = dataclasses.replace(
            trunks[1][1], embed=lambda captions: torch.from_numpy(features.text_rows(np.array([place[caption] for caption in captions])))
        )
    cache.encode(declaration, fast, rows, out, batch_size=BLOCK)
