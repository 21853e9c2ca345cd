"""Evaluation sets through CLIP benchmark's builder: its data, class names and templates, and a digest of the images."""

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from helip.config import BenchmarkSet, GeneratedSet, HeldOutSet, WdsSet
from helip.config import EvaluationSet as Declaration
from helip.data.locations import resolve_path
from helip.errors import HelipError
from helip.io import digest, file_digest


@dataclass(frozen=True)
class EvaluationSet:
    """This is one data set where it lies. `benchmark_name` is CLIP benchmark's name for it, `root` its folder."""

    name: str
    task: Literal["classification", "retrieval"]
    benchmark_name: str
    root: Path
    test_split: str = "test"
    validation_split: str | None = None  # of its authors, which chooses a probe's strength; None: they published none

    def open(self, transform: Callable | None, split: str) -> Any:
        """Returns CLIP benchmark's data set of (image, label) or (image, captions), with `classes` and `templates` if it is a
        classification.

        HelipError where a file is missing or the set cannot be opened.
        """
        from clip_benchmark.datasets.builder import build_dataset

        self._present(split)
        task = "zeroshot_retrieval" if self.task == "retrieval" else "zeroshot_classification"
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="WebDataset.shardshuffle")  # not shuffled is what is wanted
                data = build_dataset(self.benchmark_name, str(self.root), transform, split, download=False, task=task)
        except Exception as error:  # each of its data sets raises its own kinds
            reason = " ".join(str(error).split()) or type(error).__name__
            raise HelipError(
                f"{self.root}: evaluation set '{self.name}' ({split}) cannot be opened ({reason}); build or download it first"
            ) from error
        return data

    @property
    def is_wds(self) -> bool:
        """This says whether the set lies in CLIP benchmark's wds layout."""
        return self.benchmark_name.startswith("wds/")

    def _present(self, split: str) -> None:
        for path in self._needed(split):
            if not path.exists():
                raise HelipError(f"{path}: not found; evaluation set '{self.name}' needs it before its {split} split can be read")

    def _needed(self, split: str) -> list[Path]:
        """What must be there: CLIP benchmark fetches some missing files by shell commands, whatever `download` says."""
        match self.benchmark_name:
            case name if name.startswith("wds/"):
                words = ["classnames.txt", "zeroshot_classification_templates.txt"] if self.task == "classification" else []
                needed = [f"{split}/nshards.txt", *words]
            case "mscoco_captions":
                needed = ["train2014" if split == "train" else "val2014", f"coco_{split}_karpathy.json"]
            case "flickr30k" | "flickr8k" as name:
                needed = [f"{name}_{split}_karpathy.txt"]
            case _:
                needed = ["."]
        return [self.root / name for name in needed]

    def digest(self, split: str) -> str:
        """Returns a digest of the images and labels: of the shards' bytes in wds layout, else of names, sizes and times of all files under
        the root.
        """
        self._present(split)
        if self.is_wds:
            files = [*sorted((self.root / split).glob("*.tar")), self.root / split / "nshards.txt"]
            return digest([self.task, *((f.name, file_digest(f)) for f in files)])
        seen = hashlib.sha256(f"{self.benchmark_name} {split}".encode())
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            for name in sorted(names):
                status = os.stat(os.path.join(folder, name))
                seen.update(f"{os.path.relpath(folder, self.root)}/{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return seen.hexdigest()[:16]


def of_declaration(name: str, declaration: Declaration, folder: Path) -> EvaluationSet:
    """Returns a study's set; `folder` is where the study keeps the sets that it generates."""
    match declaration:
        case GeneratedSet() | HeldOutSet():
            return EvaluationSet(name, declaration.task, f"wds/{name}", folder)
        case WdsSet():
            return EvaluationSet(
                name, declaration.task, f"wds/{name}", resolve_path(declaration.path), declaration.split, declaration.validation
            )
        case BenchmarkSet():
            return EvaluationSet(
                name, declaration.task, declaration.name, resolve_path(declaration.root), declaration.split, declaration.validation
            )


def of_folder(folder: Path) -> EvaluationSet:
    """Returns the set of a folder in wds layout; dataset_type.txt says what it is, as CLIP benchmark reads it."""
    kind = folder / "dataset_type.txt"
    task = kind.read_text(errors="replace").strip().lower() if kind.is_file() else "classification"
    match task:
        case "classification" | "retrieval":
            return EvaluationSet(folder.resolve().name, task, f"wds/{folder.resolve().name}", folder)
    raise HelipError(f"{kind}: '{task}' is neither classification nor retrieval, and nothing else can be evaluated here")
