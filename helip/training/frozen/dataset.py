"""What a training on frozen trunks draws: cached rows in the place of pixels and tokens."""

from typing import Literal, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from helip.config import Augmentation, TrainConfig, cached_views, check_frozen
from helip.errors import HelipError
from helip.hashing import uniforms
from helip.training.augmentation import CROP_AREA, FLIP, PER_VIEW, caption_draws
from helip.training.batches import Inputs, Loaded
from helip.training.sampler import BatchPlan

Wanted = Literal["plain", "strong"]  # as helip.training.objectives asks for them


class TrunkRows(Protocol):
    """This protocol is what training asks of trunk features; `TrunkFeatures` reads them from a cache."""

    @property
    def views(self) -> int:
        """The number V of views of an image."""

    @property
    def crop_scale(self) -> tuple[float, float] | None:
        """The smallest and largest share of the image's area in the views that are crops."""

    @property
    def mirrored(self) -> bool:
        """Whether every second view is the mirror image of the one before."""

    def __len__(self) -> int: ...

    def image_rows(self, views_B: np.ndarray, ids_B: np.ndarray) -> np.ndarray:
        """Returns the image trunk's features of these views of these images, float32 [B, D]."""

    def text_rows(self, ids_B: np.ndarray, draws_B: np.ndarray | None = None) -> np.ndarray:
        """Returns the text trunk's features of a caption of each of these pairs, float32 [B, D]: of the first, or where `draws_B` in
        [0, 1) are given of those that they draw."""


def check(features: TrunkRows, recipe: TrainConfig, size: int) -> None:
    """Refuses a training that cached features cannot give: of another corpus, with other crops or flips, or with views of its own."""
    if len(features) != size:
        raise HelipError(f"the trunk features are of {len(features)} pairs and the corpus has {size}: encode this corpus")
    try:
        check_frozen(features.views, features.crop_scale, recipe, features.mirrored)
    except ValueError as error:
        raise HelipError(str(error)) from None


class TrunkDataset(Dataset):
    """`rows[batch]` is (batch, Loaded) with trunk features in the place of pixels and tokens, those that belong to this process.

    Which view a sample shows is a pure function of its seed, as crops and flips of images are. `wanted` are the views that an objective
    asks for: plain ones of the recipe's augmentation, and strong ones, any two that differ.
    """

    def __init__(
        self, features: TrunkRows, augmentation: Augmentation, rank: int = 0, world_size: int = 1, wanted: tuple[Wanted, ...] = ("plain",)
    ):
        self._features, self._flip, self._rank, self._world_size = features, augmentation.flip, rank, world_size
        self._wanted = wanted
        plain, mirrored = cached_views(features.views, features.crop_scale, augmentation, features.mirrored)
        self._plain, self._mirrored = np.array(plain), np.array(mirrored or plain)

    def views_of(self, seeds_B: np.ndarray) -> np.ndarray:
        """Returns the view that each sample seed draws, [B]."""
        u_BU = uniforms(seeds_B, PER_VIEW)
        plain_B, mirrored_B = (views[(u_BU[:, CROP_AREA] * len(views)).astype(int)] for views in (self._plain, self._mirrored))
        drawn_B: np.ndarray = np.where(u_BU[:, FLIP] < self._flip, mirrored_B, plain_B)
        return drawn_B

    def _all_views(self, seeds_B: np.ndarray) -> list[np.ndarray]:
        """The view of each sample [B] that each wanted view is. Strong ones differ from each other."""
        count = self._features.views
        u_B2 = uniforms(seeds_B, 2, first=PER_VIEW)
        first_B = (u_B2[:, 0] * count).astype(int)
        second_B = (first_B + 1 + (u_B2[:, 1] * (count - 1)).astype(int)) % count
        strong = iter((first_B, second_B))
        return [self.views_of(seeds_B) if view == "plain" else next(strong) for view in self._wanted]

    def __getitem__(self, batch: BatchPlan) -> tuple[BatchPlan, Loaded]:
        mine = slice(self._rank * len(batch.ids) // self._world_size, (self._rank + 1) * len(batch.ids) // self._world_size)
        ids_B, seeds_B, beside_BP = batch.ids[mine], batch.sample_seeds[mine], batch.captions[mine]
        beside_BP = np.where(beside_BP < 0, ids_B[:, None], beside_BP)
        draws_B = caption_draws(seeds_B)
        images_VBD = np.stack([self._features.image_rows(views_B, ids_B) for views_B in self._all_views(seeds_B)])
        text_BD = self._features.text_rows(ids_B, draws_B)
        beside = self._features.text_rows(beside_BP.ravel(), draws_B.repeat(beside_BP.shape[1])).reshape(*beside_BP.shape, text_BD.shape[1])
        numbers = torch.zeros(len(images_VBD), len(ids_B), 0)  # nothing is recoloured
        images, tokens, captions = (torch.from_numpy(x) for x in (images_VBD, text_BD, beside))
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
