"""Features of a set once for each (model, images, preprocessing), kept under digests of these and never under a name."""

import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from helip.errors import HelipError
from helip.evaluation.model import ClipModel
from helip.evaluation.sets import EvaluationSet
from helip.io import atomic_file, digest
from helip.locks import alone
from helip.progress import progress

IMAGES, TEXTS, ROWS = 128, 256, 4096  # a batch; of stored trunk features


@dataclass(frozen=True)
class SetFeatures:
    """This is what a split holds: the labels of a classification, or the captions of each image of a retrieval set."""

    images: torch.Tensor  # [N, D] float32 as the model gives them
    labels: torch.Tensor  # [N] int64, or empty
    captions: list[list[str]]  # N lists, or empty
    digest: str  # of the images and labels on disk


class Extractor:
    """This gives one model's features, computed or taken from `cache`, a folder that may be shared and may be deleted at any time."""

    def __init__(self, model: ClipModel, cache: Path | None, workers: int = 0):
        self.model, self.workers = model, workers
        self.folder = cache / model.key if cache else None
        self._trunks = Extractor(model.trunks, cache, workers) if model.trunks else None

    def images(self, data: EvaluationSet, split: str) -> SetFeatures:
        """Returns the features and the labels or captions of a split; HelipError where it cannot be read or a feature is not finite."""
        if self._trunks:
            stored = self._trunks.images(data, split)
            heads_of = [self.model.encode_images(rows) for rows in stored.images.split(ROWS)]
            return replace(stored, images=torch.from_numpy(_finite(torch.cat(heads_of).numpy(), f"images of '{data.name}'")))
        on_disk = data.digest(split)
        key = digest([on_disk, self.model.preprocessing])
        arrays = self._cached(f"images-{key}.npz", lambda: self._encode_images(data, split))
        captions = json.loads(arrays["captions"].tobytes())
        return SetFeatures(torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"]), captions, on_disk)

    def texts(self, texts: list[str]) -> torch.Tensor:
        """Returns float32 [T, D], one row for each of the distinct texts given; HelipError where a feature is not finite."""
        if self._trunks:
            heads_of = [self.model.encode_tokens(rows) for rows in self._trunks.texts(texts).split(ROWS)]
            return torch.from_numpy(_finite(torch.cat(heads_of).numpy(), "texts"))
        arrays = self._cached(f"texts-{digest(texts)}.npz", lambda: {"texts": self._encode_texts(texts)})
        return torch.from_numpy(arrays["texts"])

    def _cached(self, name: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        if self.folder is None:
            return compute()
        path = self.folder / name
        if (cached := _read(path)) is not None:
            return cached
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = f"{path}: another job encodes this; waiting for it"  # jobs that start together would all encode the same set
        with alone(path.with_name(f".{path.name}.lock"), waiting):
            if (cached := _read(path)) is not None:
                return cached
            arrays = compute()
            with atomic_file(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        return arrays

    def _encode_images(self, data: EvaluationSet, split: str) -> dict[str, np.ndarray]:
        features, targets = [], []
        try:
            for images_BCHW, labels_or_captions in self._batches(data, split):
                features.append(self.model.encode_images(images_BCHW).numpy())
                targets.extend(labels_or_captions)
        except HelipError:
            raise
        except Exception as error:  # damaged data: PIL, tarfile, webdataset and torchvision each raise their own kinds
            reason = " ".join(str(error).split()) or type(error).__name__
            raise HelipError(f"{data.root}: the {split} split of '{data.name}' cannot be read ({reason}); restore its files") from error
        if not features:
            raise HelipError(f"{data.root}: the {split} split of '{data.name}' is empty; restore its files")
        retrieval = data.task == "retrieval"
        captions = [list(c) for c in targets] if retrieval else []
        labels_N = np.zeros(0, np.int64) if retrieval else np.asarray(targets, np.int64)
        return {
            "images": _finite(np.concatenate(features), f"images of '{data.name}'"),
            "labels": labels_N,
            "captions": np.frombuffer(json.dumps(captions).encode(), np.uint8),
        }

    def _batches(self, data: EvaluationSet, split: str) -> Iterable:
        # A streamed set has one worker at most: more would interleave its shards, and item i must be the same for every model.
        workers = min(self.workers, 1) if data.is_wds else self.workers
        dataset = data.open(self.model.transform, split)
        loader = torch.utils.data.DataLoader(dataset, IMAGES, num_workers=workers, collate_fn=_collate)
        known = None if data.is_wds else len(loader)  # nobody knows how long a stream is
        return progress(loader, known, f"{data.name} {split}", f"batches of {IMAGES}")

    def _encode_texts(self, texts: list[str]) -> np.ndarray:
        order_T = np.argsort([-len(text) for text in texts], kind="stable")  # batches of texts of one length pad little
        parts = [self.model.encode_texts([texts[i] for i in ids]).numpy() for ids in np.split(order_T, range(TEXTS, len(texts), TEXTS))]
        features_TD = np.concatenate(parts)
        features_TD[order_T] = features_TD.copy()
        return _finite(features_TD, "texts")


def _collate(samples: list) -> tuple[torch.Tensor, list]:
    images, labels_or_captions = zip(*samples, strict=True)
    return torch.stack(images), list(labels_or_captions)


def _finite(features_ND: np.ndarray, what: str) -> np.ndarray:
    if not np.isfinite(features_ND).all():
        raise HelipError(f"the model's features of {what} hold NaN or infinity; its training diverged, or its file is damaged")
    return features_ND


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """None where nothing usable lies there: a damaged cache is made again."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
