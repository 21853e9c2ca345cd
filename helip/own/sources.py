"""What `--data`, `--evaluate` and `--retention` name, as declarations of a study."""

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from helip.config import FolderCorpus, ShardCorpus, TableCorpus
from helip.data.build import shard_files
from helip.data.detection import FIRST
from helip.data.folders import grouped
from helip.data.images import BadSample
from helip.data.locations import BETWEEN, resolve_paths
from helip.data.shards import IMAGES, texts_of
from helip.data.tables import count_images, start_of_images, table_files
from helip.data.tars import BrokenArchive, File, samples
from helip.errors import HelipError
from helip.io import printable

RETRIEVAL = ("mscoco_captions", "flickr30k", "flickr8k")  # of CLIP benchmark's names; the others are classifications


def corpus_of(data: str, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the declaration of the pairs at `data`, whatever they are, with what was seen of them.

    options: further fields of the declaration. Raises HelipError for data of no known kind, and for an option that the kind has not.
    """
    from helip.data.detection import detect

    declared = detect(BETWEEN.join(map(absolute, data.split(BETWEEN))), options)
    if isinstance(declared, TableCorpus) and not declared.image_root and (root := start_of_images(declared)):
        declared = declared.model_copy(update={"image_root": root})  # a job works in another folder
    return {"kind": declared.kind, **declared.model_dump(mode="json", exclude_defaults=True)}


def absolute(path: str) -> str:
    """Returns a path as it is named from any folder; an address and what begins with a $VARIABLE stay as they are.

    Raises HelipError for a name that is not UTF-8: a study could not hold it.
    """
    if printable(path) != path:
        raise HelipError(f"{printable(path)}: this name is not UTF-8, and the study's file is; rename it, or make a link to it")
    return path if "://" in path or path.startswith("$") else str(Path(path).expanduser().absolute())


def absolute_set(named: str) -> str:
    """Returns what names an evaluation set, a folder or NAME=ROOT, as it is named from any folder."""
    name, mark, root = _parts(named)
    return f"{name}{mark}{absolute(root)}"


def _parts(named: str) -> tuple[str, str, str]:
    """(CLIP benchmark's name, =, its folder), or (nothing, nothing, a folder), whose name may hold a =."""
    return named.partition("=") if "=" in named and not Path(named).expanduser().is_dir() else ("", "", named)


def counted(declared: dict[str, Any]) -> dict[str, int]:
    """Returns how many files the data of a declaration are, and their bytes: of a folder, how many samples. It tells whether they changed,
    without reading them. Raises HelipError where they are not there.
    """
    if declared["kind"] == "folder":
        sizes = [sum(map(_size, chain(*files.values()))) for place in resolve_paths(declared["path"]) for _, files in grouped(place)]
        return {"files": len(sizes), "bytes": sum(sizes)}
    files = table_files(declared["path"]) if declared["kind"] == "table" else shard_files(declared["path"])
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def _size(file: Path) -> int:
    """Bytes of a file; 0 for a link that leads nowhere, which packing leaves out and counts."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


@dataclass(frozen=True)
class Amount:
    """About how much a corpus holds."""

    images: int
    captions: float  # of an image, on average


def amount_of(declared: dict[str, Any]) -> Amount:
    """Returns about how much a corpus holds: the images of a folder or a table, or the samples of the first shard times the shards' size.

    A pair is an image with all its captions, whichever form it comes in. Raises HelipError for a table that cannot be read.
    """
    match declared["kind"]:
        case "table":
            images, captions = count_images(TableCorpus.model_validate(declared))
            return Amount(max(1, images), captions / max(1, images))
        case "folder":
            samples = [files for place in resolve_paths(declared["path"]) for _, files in grouped(place) if IMAGES & files.keys()]
            texts = ([_file_of(path, end) for end in ("txt", "json") for path in files.get(end, ())] for files in samples[:FIRST])
            return Amount(max(1, len(samples)), _mean(texts, FolderCorpus.model_validate(declared).captions))
    return _archived(shard_files(declared["path"]), ShardCorpus.model_validate(declared).captions)


def _archived(files: list[Path], captions: str) -> Amount:
    first, texts = 0, []
    try:
        for _, members in samples(files[0], frozenset({"txt", "json"})):
            first += 1
            if first <= FIRST:
                texts.append([file for file in members if file.data is not None])
    except BrokenArchive:
        if not first and len(files) == 1:
            raise
    images = round(max(first, 1) * sum(file.stat().st_size for file in files) / max(files[0].stat().st_size, 1))
    return Amount(images, _mean(texts, captions))


def _file_of(path: Path, extension: str) -> File:
    data = path.read_bytes()
    return File(extension, 0, len(data), data)


def _mean(texts: Iterable[list[File]], captions: str) -> float:
    """The captions of a sample, on average over those that have any."""
    counts = []
    for files in texts:
        with contextlib.suppress(BadSample):
            counts.append(len(texts_of(files, captions)))
    return sum(counts) / len(counts) if counts else 1.0


def evaluation_sets(named: tuple[str, ...], option: str) -> dict[str, dict[str, Any]]:
    """Returns evaluation sets by name. Each is a folder in CLIP benchmark's wds layout, or NAME=ROOT: a set that it builds, and its folder.

    Raises HelipError for what is neither.
    """
    sets: dict[str, dict[str, Any]] = {}
    for text in named:
        benchmark, mark, root = _parts(text)
        path = Path(root).expanduser()
        if not path.is_dir():
            usual = "give one in CLIP benchmark's wds layout, or NAME=ROOT (cifar10=/data/cifar10)"
            raise HelipError(f"{option} {text}: is no folder; {usual}")
        name = re.sub(r"[^a-z0-9]+", "_", (benchmark if mark else path.resolve().name).lower()).strip("_") or "set"
        if name in sets or name in ("test", "validation"):
            raise HelipError(f"{option} {text}: there is a set '{name}' already; rename its folder")
        task = ("retrieval" if benchmark in RETRIEVAL else "classification") if mark else _task(path)
        root = str(path.resolve())
        place = {"kind": "clip_benchmark", "name": benchmark, "root": root} if mark else {"kind": "wds", "path": root}
        sets[name] = {"task": task, **place}
    return sets


def _task(folder: Path) -> str:
    from helip.evaluation.sets import of_folder

    return of_folder(folder).task
