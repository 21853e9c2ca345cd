"""Training on the cached features of frozen trunks: views of every image and all captions, encoded once; heads from then on.

features = encode_corpus(declaration, encoders, corpus, folder)
clip = new(declaration, encoders, features, seed=0)
job = TrainJob(recipe, clip, corpus, ..., features=features)
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset

from helip.config import Augmentation, FrozenModel, OpenClipEncoder, TrainConfig, cached_views, check_frozen
from helip.config import Encoder as EncoderConfig
from helip.data.subset import origin_of
from helip.encoders import cache
from helip.encoders import load as load_encoder
from helip.encoders.encoder import Encoder
from helip.encoders.features import Features
from helip.encoders.rearranged import rearrange
from helip.errors import HelipError
from helip.hashing import mixed, uniforms
from helip.io import digest, read_json
from helip.models.frozen import CaptionTrunk, FrozenClip, check_trunk, config_of
from helip.models.loading import Clip, open_start
from helip.training.augmentation import CROP_AREA, FLIP, PER_VIEW, caption_draws, crop_box
from helip.training.batches import Corpus, Inputs, Loaded
from helip.training.sampler import BatchPlan

BLOCK = 8192  # rows whose mean is taken at a time
Trunks = tuple[tuple[EncoderConfig, Encoder], tuple[EncoderConfig, Encoder]]  # of images and of text: what is declared, and the encoder


class Views:
    """This is a corpus of V views of each image of another: image v * N + i is view v of image i, and has no caption.

    View 0 is the image itself; view 2, 4, ... is a random crop of it that is a pure function of (seed, view, i); each odd view is the
    mirror image of the view before it. The trunk's own preprocessing follows.
    """

    def __init__(self, corpus: Corpus, views: int, crop_scale: tuple[float, float] | None, seed: int = 0):
        self._corpus, self._views, self._crop_scale, self._seed = corpus, views, crop_scale, seed
        self.digest = digest([corpus.digest, views, crop_scale, seed])

    def __len__(self) -> int:
        return self._views * len(self._corpus)

    def image(self, row: int) -> Image.Image:
        """Returns the RGB image of a row."""
        view, i = divmod(int(row), len(self._corpus))
        image = self._corpus.image(i)
        if view > 1:
            assert self._crop_scale is not None  # as FrozenModel holds
            key = mixed(mixed(mixed(np.array([self._seed], np.int64)) + np.int64(view // 2)) + np.int64(i))
            left, upper, right, lower = (round(x) for x in crop_box(*image.size, uniforms(key, PER_VIEW)[0], self._crop_scale))
            image = image.crop((left, upper, max(right, left + 1), max(lower, upper + 1)))
        return ImageOps.mirror(image) if view % 2 else image

    def caption(self, row: int) -> str:
        """Returns nothing but an empty text: captions are encoded from the corpus itself."""
        return ""


class Captions:
    """This is a corpus of all captions of another, those of its first image first. No image of it is looked at."""

    def __init__(self, corpus: Corpus, counts_N: np.ndarray):
        self._corpus, self._first = corpus, first_captions(counts_N)
        self._size = int(counts_N.sum())
        self.digest = digest([corpus.digest, "all captions"])

    def __len__(self) -> int:
        return self._size

    def image(self, row: int) -> Image.Image:
        """Returns the image that a row's caption is of."""
        return self._corpus.image(self._image_of(row))

    def caption(self, row: int) -> str:
        """Returns the caption of a row."""
        i = self._image_of(row)
        return self._corpus.captions(i)[row - int(self._first[i])]

    def _image_of(self, row: int) -> int:
        return int(np.searchsorted(self._first, row, "right")) - 1


def first_captions(counts_N: np.ndarray) -> np.ndarray:
    """Returns the row of each image's first caption among all captions, [N] int64."""
    return np.cumsum(counts_N) - counts_N


class TrunkRows(Protocol):
    """This protocol is what training asks of trunk features; `TrunkFeatures` reads them from a cache."""

    @property
    def views(self) -> int:
        """The number V of views of an image."""

    @property
    def crop_scale(self) -> tuple[float, float] | None:
        """The smallest and largest share of the image's area in the views that are crops."""

    def __len__(self) -> int: ...

    def image_rows(self, views_B: np.ndarray, ids_B: np.ndarray) -> np.ndarray:
        """Returns the image trunk's features of these views of these images, float32 [B, D]."""

    def text_rows(self, ids_B: np.ndarray, draws_B: np.ndarray | None = None) -> np.ndarray:
        """Returns the text trunk's features of a caption of each of these pairs, float32 [B, D]: of the first, or where `draws_B` in
        [0, 1) are given of those that they draw."""


@dataclass(frozen=True)
class TrunkFeatures:
    """Memory-mapped features of a corpus: `images` [V, N, D] of its views, `texts` [M, D] of all captions, `counts` [N] of an image each;
    `digest` stands for all."""

    images: np.ndarray
    texts: np.ndarray
    counts: np.ndarray
    crop_scale: tuple[float, float] | None
    digest: str

    @cached_property
    def first(self) -> np.ndarray:
        """The row in `texts` of each pair's first caption, [N] int64."""
        return first_captions(self.counts)

    def __len__(self) -> int:
        return self.images.shape[1]

    @property
    def views(self) -> int:
        """The number V of cached views of an image."""
        return self.images.shape[0]

    def image_rows(self, views_B: np.ndarray, ids_B: np.ndarray) -> np.ndarray:
        """Returns the image trunk's features of these views of these images, float32 [B, D]."""
        return np.asarray(self.images[views_B, ids_B], np.float32)

    def text_rows(self, ids_B: np.ndarray, draws_B: np.ndarray | None = None) -> np.ndarray:
        """Returns the text trunk's features of a caption of each of these pairs, float32 [B, D]: of the first, or where `draws_B` in
        [0, 1) are given of those that they draw."""
        drawn_B = np.zeros(len(ids_B), np.int64) if draws_B is None else (draws_B * self.counts[ids_B]).astype(np.int64)
        return np.asarray(self.texts[self.first[ids_B] + drawn_B], np.float32)


def encode_corpus(
    declaration: FrozenModel,
    trunks: Trunks,
    corpus: Corpus,
    folder: Path,
    *,
    seed: int = 0,
    batch_size: int = 64,
    workers: int = 0,
    dtype: str = "float32",
) -> TrunkFeatures:
    """Encodes the views of all images and all captions into `folder`/{image,text}, where they are not there already, and opens them.

    A killed encoding goes on from its last block. Features of another corpus, of other views or by other weights are replaced.
    HelipError is raised for a trunk of the wrong modality and for features that cannot be used.
    """
    seen: Any = Views(corpus, declaration.views, declaration.crop_scale, seed)
    counts_N = corpus.caption_counts()
    texts = _captions(corpus, counts_N)
    for side, name, rows, (declared, encoder) in (
        ("image", declaration.image_trunk, seen, trunks[0]),
        ("text", declaration.text_trunk, texts, trunks[1]),
    ):
        check_trunk(side, name, declared)
        if not _is_of(folder / side, rows.digest, encoder, dtype):
            facts = {"views": declaration.views, "crop_scale": declaration.crop_scale, "seed": seed} if side == "image" else {}
            cache.encode(declared, encoder, rows, folder / side, batch_size=batch_size, workers=workers, dtype=dtype, raw=True, facts=facts)
    return open_features(folder, counts_N, seen.digest, texts.digest)


def _captions(corpus: Corpus, counts_N: np.ndarray) -> Any:
    """What the text trunk encodes: the corpus itself where each image has one caption."""
    return Captions(corpus, counts_N) if counts_N.max(initial=1) > 1 else corpus


def features_of(folder: Path, corpus: Corpus, declaration: FrozenModel, seed: int = 0) -> TrunkFeatures:
    """Opens what `encode_corpus` wrote. HelipError is raised where it is broken, of another corpus or of other views."""
    counts_N, seen = corpus.caption_counts(), Views(corpus, declaration.views, declaration.crop_scale, seed)
    return open_features(folder, counts_N, seen.digest, _captions(corpus, counts_N).digest)


def rearrange_features(declaration: FrozenModel, of: Corpus, features: Path, corpus: Corpus, folder: Path) -> None:
    """Writes into `folder` what `encode_corpus` would for a corpus with swapped captions or a subset, from the `features` of the corpus
    that it was made of: nothing is encoded again. HelipError is raised where those are broken or of another corpus.
    """
    (image_N, text_N), base = origin_of(corpus.folder), features_of(features, of, declaration)
    assert text_N is not None  # as the corpus was made of another
    rows = [np.arange(base.first[s], base.first[s] + base.counts[s]) for s in text_N.tolist()]
    views = None if image_N is None else (np.arange(base.views)[:, None] * len(base) + image_N).ravel()
    image, text = (Features.open(features / side) for side in ("image", "text"))
    seen, texts = Views(corpus, declaration.views, declaration.crop_scale), _captions(corpus, corpus.caption_counts())
    rearrange(image, views, seen.digest, folder / "image")
    rearrange(text, np.concatenate(rows), texts.digest, folder / "text")


def _is_of(folder: Path, corpus_digest: str, encoder: Encoder, dtype: str) -> bool:
    if not (folder / "features.json").is_file():
        return False
    written = read_json(folder / "features.json")
    expected = (corpus_digest, encoder.weights, encoder.preprocessing, dtype, True)
    return tuple(written.get(k) for k in ("corpus_digest", "weights_digest", "preprocessing", "dtype", "raw")) == expected


def open_features(folder: Path, counts_N: np.ndarray, views_digest: str | None = None, captions_digest: str | None = None) -> TrunkFeatures:
    """Opens what `encode_corpus` wrote for a corpus whose pairs have `counts_N` captions each. HelipError is raised where it is broken or
    of another corpus."""
    wanted = {"image": views_digest, "text": captions_digest}
    image, text = (Features.open(folder / side, expected, "encode the views and captions again") for side, expected in wanted.items())
    views, crop_scale = image.metadata["views"], image.metadata["crop_scale"]
    size, captions = len(counts_N), int(counts_N.sum())
    if len(text) != captions or len(image) != views * size:
        raise HelipError(f"{folder}: holds features of {len(text)} captions and the corpus has {captions}; encode this corpus again")
    stands_for = digest([[f.metadata["corpus_digest"], f.metadata["weights_digest"], f.metadata["preprocessing"]] for f in (image, text)])
    return TrunkFeatures(image.array.reshape(views, size, -1), text.array, counts_N, tuple(crop_scale) if crop_scale else None, stands_for)


def new(declaration: FrozenModel, trunks: Trunks, features: TrunkFeatures, seed: int) -> Clip:
    """Returns a model to train whose heads are drawn from `seed` and standardise features by their mean and deviation in the corpus.

    HelipError is raised for a trunk of the wrong modality.
    """
    config = config_of(declaration, *trunks)
    torch.manual_seed(seed)
    model = FrozenClip(config)
    for head, rows_ND in ((model.image_head, features.images[0]), (model.text_head, features.texts)):
        mean_D, std_D = _moments(rows_ND)
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


def _moments(rows_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    blocks = [slice(start, start + BLOCK) for start in range(0, len(rows_ND), BLOCK)]
    mean_D = sum(rows_ND[b].sum(0, dtype=np.float64) for b in blocks) / len(rows_ND)
    variance_D = sum(np.square(rows_ND[b] - mean_D).sum(0) for b in blocks) / len(rows_ND)
    return mean_D, np.sqrt(variance_D) + 1e-6


# ------------------------------------------------------------ what trained heads say of a corpus


class _TrunkRows:
    """A corpus whose images are the image trunk's features of view 0."""

    def __init__(self, corpus: Corpus, features: TrunkFeatures):
        self.digest, self._corpus, self._features = corpus.digest, corpus, features

    def __len__(self) -> int:
        return len(self._corpus)

    def image(self, row: int) -> Any:
        return np.asarray(self._features.images[0, row], np.float32)

    def caption(self, row: int) -> str:
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
            ids = np.array([place[caption] for caption in captions])
            return heads.encode_text(torch.from_numpy(features.text_rows(ids))).float()

        fast = dataclasses.replace(encoder, embed=embed)
    cache.encode(declaration, fast, rows, out, batch_size=BLOCK, dtype=dtype)


# ------------------------------------------------------------ what a training draws


def check(features: TrunkRows, recipe: TrainConfig, size: int) -> None:
    """Refuses a training that cached features cannot give: of another corpus, with other crops or flips, or with views of its own."""
    if len(features) != size:
        raise HelipError(f"the trunk features are of {len(features)} pairs and the corpus has {size}: encode this corpus")
    try:
        check_frozen(features.views, features.crop_scale, recipe)
    except ValueError as error:
        raise HelipError(str(error)) from None


class TrunkDataset(Dataset):
    """`rows[batch]` is (batch, Loaded) with trunk features in the place of pixels and tokens, those that belong to this process.

    Which view a sample shows is a pure function of its seed, as crops and flips of images are.
    """

    def __init__(self, features: TrunkRows, augmentation: Augmentation, rank: int = 0, world_size: int = 1):
        self._features, self._flip, self._rank, self._world_size = features, augmentation.flip, rank, world_size
        plain, mirrored = cached_views(features.views, features.crop_scale, augmentation)
        self._plain, self._mirrored = np.array(plain), np.array(mirrored or plain)

    def views_of(self, seeds_B: np.ndarray) -> np.ndarray:
        """Returns the view that each sample seed draws, [B]."""
        u_BU = uniforms(seeds_B, PER_VIEW)
        plain_B, mirrored_B = (views[(u_BU[:, CROP_AREA] * len(views)).astype(int)] for views in (self._plain, self._mirrored))
        drawn_B: np.ndarray = np.where(u_BU[:, FLIP] < self._flip, mirrored_B, plain_B)
        return drawn_B

    def __getitem__(self, batch: BatchPlan) -> tuple[BatchPlan, Loaded]:
        mine = slice(self._rank * len(batch.ids) // self._world_size, (self._rank + 1) * len(batch.ids) // self._world_size)
        ids_B, seeds_B, beside_BP = batch.ids[mine], batch.sample_seeds[mine], batch.captions[mine]
        beside_BP = np.where(beside_BP < 0, ids_B[:, None], beside_BP)
        draws_B = caption_draws(seeds_B)
        image_BD, text_BD = self._features.image_rows(self.views_of(seeds_B), ids_B), self._features.text_rows(ids_B, draws_B)
        beside = self._features.text_rows(beside_BP.ravel(), draws_B.repeat(beside_BP.shape[1])).reshape(*beside_BP.shape, text_BD.shape[1])
        numbers = torch.zeros(1, len(ids_B), 0)  # nothing is recoloured
        images, tokens, captions = (torch.from_numpy(x) for x in (image_BD[None], text_BD, beside))
        return batch, Loaded(images, tokens, numbers, torch.from_numpy(seeds_B), captions)


class RowsToDevice:
    """This turns loaded trunk features into Inputs: they are moved to the device and nothing else."""

    def __init__(self, device: torch.device):
        self._device = device

    def __call__(self, loaded: Loaded) -> Inputs:
        moved = {name: x.to(self._device, non_blocking=True) for name, x in vars(loaded).items() if name != "numbers"}
        if not moved["captions"].shape[1]:
            del moved["captions"]
        return moved | {"images": list(moved["images"])}
