"""From the ids of a batch to tensors on the training device.

Workers (or the training process itself on a CPU) read, crop and tokenise this process's rows; normalisation and jitter run on the
device. A small corpus is decoded once and kept in memory.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from helip.config import Augmentation
from helip.training.augmentation import PER_VIEW, crop_and_flip, jitter, uniforms
from helip.training.sampler import Batch

CACHE_BYTES = 2**30  # of decoded images kept by a process that loads its own batches


class Corpus(Protocol):
    """What training asks of a corpus; helip.data.corpus.Corpus has it."""

    digest: str

    def __len__(self) -> int: ...

    def image(self, i: int) -> Image.Image: ...  # RGB

    def caption(self, i: int) -> str: ...


@dataclass(frozen=True)
class Plan:
    """Where the seeds and their hard pairs stand in the gathered batch: seeds [S] and hard [S, P], int64 positions."""

    seeds: torch.Tensor
    hard: torch.Tensor


@dataclass(frozen=True)
class TrainingBatch:
    """This process's rows of a batch, on its device."""

    images: torch.Tensor  # [V, B, 3, H, W] float, normalised; view 0 is the one that CLIP sees
    tokens: torch.Tensor  # [B, L] int64
    sample_seeds: torch.Tensor  # [B] int64

    def __len__(self) -> int:
        return len(self.tokens)

    def micro(self, pieces: int) -> list["TrainingBatch"]:
        """The rows cut into equal pieces, in order."""
        parts = zip(self.images.chunk(pieces, 1), self.tokens.chunk(pieces), self.sample_seeds.chunk(pieces), strict=True)
        return [TrainingBatch(*part) for part in parts]


@dataclass(frozen=True)
class Loaded:
    """Rows as they leave the loader: uint8 images [V, B, H, W, 3], tokens [B, L], the random numbers of each view [V, B, U]."""

    images: torch.Tensor
    tokens: torch.Tensor
    numbers: torch.Tensor
    sample_seeds: torch.Tensor

    def pin_memory(self) -> "Loaded":
        return Loaded(*(x.pin_memory() for x in (self.images, self.tokens, self.numbers, self.sample_seeds)))


class Rows(Dataset):
    """`rows[batch]` is (batch, Loaded): the rows of a Batch that belong to this process."""

    def __init__(
        self,
        corpus: Corpus,
        tokenize: Callable[[list[str]], torch.Tensor],
        image_size: tuple[int, int],
        views: tuple[Augmentation, ...],
        rank: int = 0,
        world_size: int = 1,
        cache_bytes: int = 0,
    ):
        self.corpus, self.tokenize, self.image_size, self.views = corpus, tokenize, image_size, views
        self.rank, self.world_size, self._room = rank, world_size, cache_bytes
        self._images: dict[int, Image.Image] = {}
        self._tokens: dict[int, torch.Tensor] = {}

    def __getitem__(self, batch: Batch) -> tuple[Batch, Loaded]:
        mine = slice(self.rank * len(batch.ids) // self.world_size, (self.rank + 1) * len(batch.ids) // self.world_size)
        ids, seeds = batch.ids[mine].tolist(), batch.sample_seeds[mine]
        u_BVU = uniforms(seeds, len(self.views) * PER_VIEW).reshape(len(ids), len(self.views), PER_VIEW)
        images = np.empty((len(self.views), len(ids), *self.image_size, 3), np.uint8)
        for row, i in enumerate(ids):
            image = self._image(i)
            for v, view in enumerate(self.views):
                images[v, row] = crop_and_flip(image, u_BVU[row, v], self.image_size, view)
        numbers = torch.from_numpy(u_BVU.transpose(1, 0, 2).astype(np.float32))
        return batch, Loaded(torch.from_numpy(images), self._captions(ids), numbers, torch.from_numpy(seeds))

    def _image(self, i: int) -> Image.Image:
        image = self._images.get(i)
        if image is None:
            image = self.corpus.image(i)
            self._room -= image.width * image.height * 3
            if self._room >= 0:
                self._images[i] = image
        return image

    def _captions(self, ids: list[int]) -> torch.Tensor:
        new = [i for i in ids if i not in self._tokens]
        tokens = dict(zip(new, self.tokenize([self.corpus.caption(i) for i in new]), strict=True)) if new else {}
        rows = torch.stack([tokens[i] if i in tokens else self._tokens[i] for i in ids])
        if self._room >= 0:
            self._tokens |= {i: t.clone() for i, t in tokens.items()}
        return rows


def loading(rows: Rows, batches: Iterable[Batch], workers: int, pin: bool) -> Iterator[tuple[Batch, Loaded]]:
    """The batches in order, loaded ahead by worker processes, or here when workers is 0."""
    if workers == 0:
        return (rows[batch] for batch in batches)
    return iter(
        DataLoader(rows, batch_size=None, sampler=batches, num_workers=workers, pin_memory=pin, prefetch_factor=4, worker_init_fn=_quiet)
    )


def _quiet(worker: int) -> None:
    # A time limit signals the whole process group: workers must outlive it until the training process has saved its state.
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)


def worker_count(device: torch.device, local_processes: int) -> int:
    """Loader processes beside one training process: none on a CPU, which has nothing else to do."""
    if device.type == "cpu":
        return 0
    return max(1, min(8, len(os.sched_getaffinity(0)) // local_processes - 1))


class ToDevice:
    """Loaded rows -> TrainingBatch: moved, jittered, normalised."""

    def __init__(self, device: torch.device, mean: tuple[float, ...], std: tuple[float, ...], views: tuple[Augmentation, ...]):
        self._device, self._views = device, views
        self._scale = 1 / (255 * torch.tensor(std, device=device)[:, None, None])
        self._shift = -torch.tensor(mean, device=device)[:, None, None] / torch.tensor(std, device=device)[:, None, None]

    def __call__(self, loaded: Loaded) -> TrainingBatch:
        images = loaded.images.to(self._device, non_blocking=True).permute(0, 1, 4, 2, 3).float()
        for v, view in enumerate(self._views):
            if view.jitter:
                images[v] = 255 * jitter(images[v] / 255, loaded.numbers[v].to(self._device, non_blocking=True), view.jitter)
        images = images.mul_(self._scale).add_(self._shift)
        tokens, seeds = (x.to(self._device, non_blocking=True) for x in (loaded.tokens, loaded.sample_seeds))
        return TrainingBatch(images, tokens, seeds)
