"""From the ids of a batch to tensors on the training device.

Workers (or the training process itself on a CPU) read, crop and tokenise this process's rows; normalisation and jitter run on the
device. A small corpus is decoded once and kept in memory.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from helip.errors import HelipError
from helip.hashing import uniforms
from helip.models.architecture import up_to_the_longest
from helip.training.augmentation import PER_VIEW, View, caption_draws, crop_and_flip, recolour
from helip.training.sampler import BatchPlan

# This process's rows on its device: images, a list of [b, 3, H, W] a view; tokens [b, L]; sample_seeds [b]; with role negatives also
# captions [b, P, L], those that a row brings beside the batch.
Inputs = dict[str, Any]
NO_ROOM = ("Bus error", "shared memory", "No space left on device")  # in torch's words for a loader process without shared memory
CACHE_BYTES = 2**30  # of decoded images kept by a process that loads its own batches


class Corpus(Protocol):
    """This protocol is what training asks of a corpus; `helip.data.corpus.Corpus` has it."""

    folder: Path
    digest: str

    def __len__(self) -> int: ...

    def image(self, i: int) -> Image.Image:  # RGB
        """Returns the RGB image of pair i."""

    def caption(self, i: int) -> str:
        """Returns the first caption of pair i."""

    def captions(self, i: int) -> list[str]:
        """Returns all captions of pair i, at least one."""

    def caption_counts(self) -> np.ndarray:
        """Returns how many captions each pair has, [N] int64."""


def cut(batch: Inputs, pieces: int) -> list[Inputs]:
    """Returns the rows of a batch in equal micro-batches, in order."""
    images = zip(*(view.chunk(pieces) for view in batch["images"]), strict=True)
    rest = {name: rows.chunk(pieces) for name, rows in batch.items() if name != "images"}
    return [{"images": list(views)} | {name: rows[i] for name, rows in rest.items()} for i, views in enumerate(images)]


@dataclass(frozen=True)
class Loaded:
    """This holds rows as they leave the loader, before they are moved to the device.

    Images are uint8 [V, B, H, W, 3], tokens [B, L], the random numbers of each view [V, B, U] and the tokens of captions beside the batch
    [B, P, L].
    """

    images: torch.Tensor
    tokens: torch.Tensor
    numbers: torch.Tensor
    sample_seeds: torch.Tensor
    captions: torch.Tensor

    def pin_memory(self) -> "Loaded":
        """Returns the rows in page-locked memory, as the data loader asks; copies to a GPU then need not wait."""
        return Loaded(*(x.pin_memory() for x in vars(self).values()))


class PairDataset(Dataset):
    """`rows[batch]` is (batch, Loaded): it loads the rows of a BatchPlan that belong to this process.

    `image_size` is (H, W). With `trim`, tokens end with the longest caption of the rows instead of the context. `cache_bytes` is the
    memory for decoded images that are kept. Of several captions of an image, a sample shows one that its seed draws.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenize: Callable[[list[str]], torch.Tensor],
        image_size: tuple[int, int],
        views: tuple[View, ...],
        rank: int = 0,
        world_size: int = 1,
        cache_bytes: int = 0,
        trim: bool = False,
    ):
        self.corpus, self.tokenize, self.image_size, self.views = corpus, tokenize, image_size, views
        self.rank, self.world_size, self._room, self._trim = rank, world_size, cache_bytes, trim
        self._images: dict[int, Image.Image] = {}
        self._tokens: dict[tuple[int, int], torch.Tensor] = {}

    def __getitem__(self, batch: BatchPlan) -> tuple[BatchPlan, Loaded]:
        mine = slice(self.rank * len(batch.ids) // self.world_size, (self.rank + 1) * len(batch.ids) // self.world_size)
        ids, seeds = batch.ids[mine].tolist(), batch.sample_seeds[mine]
        u_BVU = uniforms(seeds, len(self.views) * PER_VIEW).reshape(len(ids), len(self.views), PER_VIEW)
        images = np.empty((len(self.views), len(ids), *self.image_size, 3), np.uint8)
        for row, i in enumerate(ids):
            image = self._image(i)
            for v, view in enumerate(self.views):
                images[v, row] = crop_and_flip(image, u_BVU[row, v], self.image_size, view)
        numbers = torch.from_numpy(u_BVU.transpose(1, 0, 2).astype(np.float32))
        tokens, captions = self._tokens_of(batch.ids[mine], batch.captions[mine], seeds)
        return batch, Loaded(torch.from_numpy(images), tokens, numbers, torch.from_numpy(seeds), captions)

    def _image(self, i: int) -> Image.Image:
        image = self._images.get(i)
        if image is None:
            image = self.corpus.image(i)
            self._room -= image.width * image.height * 3
            if self._room >= 0:
                self._images[i] = image
        return image

    def _tokens_of(self, ids_B: np.ndarray, beside_BP: np.ndarray, seeds_B: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, L] and [B, P, L]; where a row brings no further caption its own stands, which nothing looks at."""
        beside_BP, draws_B = np.where(beside_BP < 0, ids_B[:, None], beside_BP), caption_draws(seeds_B)
        draws = [*draws_B.tolist(), *draws_B.repeat(beside_BP.shape[1]).tolist()]
        rows = self._captions([*ids_B.tolist(), *beside_BP.ravel().tolist()], draws)
        return rows[: len(ids_B)], rows[len(ids_B) :].view(*beside_BP.shape, rows.shape[1])

    def _captions(self, ids: list[int], draws: list[float]) -> torch.Tensor:
        """The tokens of the caption that each id draws."""
        captions = {i: self.corpus.captions(i) for i in dict.fromkeys(ids)}
        drawn = [(i, int(draw * len(captions[i]))) for i, draw in zip(ids, draws, strict=True)]
        new = [one for one in dict.fromkeys(drawn) if one not in self._tokens]
        tokens = dict(zip(new, self.tokenize([captions[i][n] for i, n in new]), strict=True)) if new else {}
        rows = torch.stack([tokens[one] if one in tokens else self._tokens[one] for one in drawn])
        if self._room >= 0:
            self._tokens |= {one: t.clone() for one, t in tokens.items()}
        return up_to_the_longest(rows) if self._trim else rows


def loading(rows: Dataset, batches: Iterable[BatchPlan], workers: int, pin: bool) -> Iterator[tuple[BatchPlan, Loaded]]:
    """Yields the batches in order, loaded ahead by worker processes, or here when `workers` is 0.

    HelipError is raised for bad input, and where a worker process was killed.
    """
    if workers == 0:
        return (rows[batch] for batch in batches)
    ahead: DataLoader = DataLoader(
        _Telling(rows), batch_size=None, sampler=batches, pin_memory=pin, num_workers=workers, prefetch_factor=4, worker_init_fn=_quiet
    )
    return _raising(ahead)


class _Telling(Dataset):
    """Rows whose bad input comes back as a value: raised in a loader process, it would arrive as that process's whole traceback."""

    def __init__(self, rows: Dataset):
        self._rows = rows

    def __getitem__(self, batch: BatchPlan) -> tuple[BatchPlan, Loaded] | HelipError:
        try:
            return self._rows[batch]
        except HelipError as error:
            return error


def _raising(loader: DataLoader) -> Iterator[tuple[BatchPlan, Loaded]]:
    try:
        for item in loader:
            if isinstance(item, HelipError):
                raise item
            yield item
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        remedy = "or use fewer loader processes (--workers)"
        if any(words in f"{error} {error.__cause__}" for words in NO_ROOM):
            why = "a loader process found no room in /dev/shm, through which it passes batches"
            raise HelipError(f"{why}: enlarge it (docker run --shm-size 8g), {remedy}") from error
        raise HelipError(f"a loader process was killed, most likely for want of memory: give the job more, {remedy}") from error


def _quiet(worker: int) -> None:
    # A time limit signals the whole process group: workers must outlive it until the training process has saved its state.
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)


def worker_count(device: torch.device, local_processes: int) -> int:
    """Returns the number of loader processes beside one training process: none on a CPU, which has nothing else to do, else 1 to 8."""
    if device.type == "cpu":
        return 0
    return max(1, min(8, len(os.sched_getaffinity(0)) // local_processes - 1))


class ToDevice:
    """This turns loaded rows into Inputs: they are moved to the device, coloured and normalised by `mean` and `std`."""

    def __init__(self, device: torch.device, mean: tuple[float, ...], std: tuple[float, ...], views: tuple[View, ...]):
        self._device, self._views = device, views
        mean_311, std_311 = (torch.tensor(x, device=device, dtype=torch.float32)[:, None, None] for x in (mean, std))
        self._scale, self._shift = 1 / (255 * std_311), -mean_311 / std_311

    def __call__(self, loaded: Loaded) -> Inputs:
        moved = {name: x.to(self._device, non_blocking=True) for name, x in vars(loaded).items()}
        images = [self._view(*one) for one in zip(moved.pop("images"), moved.pop("numbers"), self._views, strict=True)]
        if not moved["captions"].shape[1]:
            del moved["captions"]
        return {"images": images} | moved

    def _view(self, images_BHW3: torch.Tensor, numbers_BU: torch.Tensor, view: View) -> torch.Tensor:
        x = images_BHW3.permute(0, 3, 1, 2).float()
        if view.colours:
            x = 255 * recolour(x / 255, numbers_BU, view)
        return x.mul_(self._scale).add_(self._shift)
