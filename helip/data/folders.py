"""A folder of images with their captions beside them: `a.jpg` and `a.txt` or `a.json`, in sub-folders too."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from helip.config import FolderCorpus
from helip.data.images import BadSample
from helip.data.index import Left
from helip.data.locations import resolve_paths
from helip.data.packing import pack
from helip.data.rows import Row
from helip.data.shards import IMAGES, texts_of
from helip.data.tars import File
from helip.errors import HelipError
from helip.progress import progress

Group = dict[str, list[Path]]  # extension in small letters -> files: several where only the case of their ends differs


def pack_folder(declaration: FolderCorpus, folder: Path) -> tuple[list[Path], Left, dict[str, Any]]:
    """Writes shards/*.tar into `folder`; returns them, what was left out, and how they were read. HelipError where there is no image."""
    place, *more = resolve_paths(declaration.path)
    if more or not place.is_dir():
        what = f"names {len(more) + 1} places" if more else "is no folder"
        raise HelipError(f"{declaration.path}: {what}; name one folder of images and captions")
    groups = list(grouped(place))
    if not any(IMAGES & files.keys() for _, files in groups):
        raise HelipError(f"{place}: holds no image ({', '.join(sorted(IMAGES))}), in sub-folders neither; correct the path")
    bad: Left = []
    rows = _rows(progress(groups, len(groups), "packing", "images"), place, declaration.captions, bad)
    shards, left_out = pack(rows, folder, declaration.samples_per_shard)
    return shards, bad + left_out, {"format": "folder", "captions": declaration.captions}


def grouped(place: Path) -> Iterator[tuple[str, Group]]:
    """Yields (name, files by extension) of the images, .txt and .json files that share a path but for its end, in order of their names.

    A folder that several links lead to is looked into once. Raises HelipError for a folder that cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    for folder, inner, names in os.walk(place, onerror=_unreadable, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        groups: dict[str, Group] = {}
        for name in sorted(names):
            path = Path(folder, name)
            extension = path.suffix[1:].lower()
            if extension in IMAGES | {"txt", "json"} and not name.startswith("."):
                groups.setdefault(path.stem, {}).setdefault(extension, []).append(path)
        for stem, files in groups.items():
            yield str(Path(folder, stem).relative_to(place)), files


def _unreadable(error: OSError) -> NoReturn:
    raise HelipError(f"{error.filename}: cannot be read ({error.strerror}), so what lies in it would be left out; fix its permissions")


def _rows(groups: Iterator[tuple[str, Group]], place: Path, captions: str, bad: Left) -> Iterator[Row]:
    for name, files in groups:
        images = [path for extension, paths in files.items() if extension in IMAGES for path in paths]
        try:
            if len(images) != 1:
                raise BadSample("ambiguous sample" if images else "no image", f"{len(images)} images" if images else "")
            written = texts_of([_read(path) for extension, paths in files.items() if extension not in IMAGES for path in paths], captions)
            own = str(images[0].relative_to(place))
            yield Row(own, images[0], written, own)
        except BadSample as error:
            bad.append((name, error.reason, error.detail))


def _read(path: Path) -> File:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadSample("caption file cannot be read", error.strerror or str(error)) from None
    return File(path.suffix[1:].lower(), 0, len(data), data)
