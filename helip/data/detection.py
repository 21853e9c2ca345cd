"""What a user's data are, told by looking: shards, a folder of images, or a table."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helip.config import FolderCorpus, ShardCorpus, TableCorpus
from helip.config.reading import validate_options
from helip.data.columns import CAPTIONS
from helip.data.delimited import shows_columns
from helip.data.folders import grouped
from helip.data.locations import resolve_paths, within
from helip.data.rows import captions_of
from helip.data.shards import IMAGES
from helip.data.tables import FORMS
from helip.data.tars import BrokenArchive, samples
from helip.errors import HelipError

Own = ShardCorpus | FolderCorpus | TableCorpus
NAMES: dict[type[Own], str] = {ShardCorpus: "WebDataset shards", FolderCorpus: "a folder of images and captions", TableCorpus: "a table"}
FIRST = 100  # samples that are looked at
COMPRESSED = re.compile(r"\.(tgz|tar\.\w+|zip)$", re.IGNORECASE)
UNPACK = "images are read where they lie: unpack it, a .tar.gz by gunzip"
REMEDY = "name .tar shards, a folder of images with a .txt beside each, or a table"


def detect(path: str, given: dict[str, Any] | None = None) -> Own:
    """Returns the corpus that the data at `path` are: a declaration for a study, with what the user gave and what was seen.

    given: fields of the declaration. Raises HelipError for data of no known kind, and for a field that the kind has not.
    """
    given = given or {}
    kind, seen = _kind(path, resolve_paths(path))
    for name in given:
        if name not in kind.model_fields:
            raise HelipError(f"--{name.replace('_', '-')}: is no option of {NAMES[kind]}, which '{path}' is; leave it out")
    return validate_options(kind, {"path": path, **seen, **given}, nameless="data")


def described(declaration: Own) -> str:
    """Returns what was detected as a sentence for a terminal."""
    captions = f", captions: {declaration.captions}" if not isinstance(declaration, TableCorpus) else ""
    return f"{declaration.path}: {NAMES[type(declaration)]} (kind: {declaration.kind}{captions})"


def _kind(path: str, places: list[Path]) -> tuple[type[Own], dict[str, Any]]:
    ends = {one.suffix.lower() if one.is_file() else "" for one in places}
    if packed := [one for one in places if one.is_file() and _is_compressed(one)]:
        raise HelipError(f"{path}: {packed[0].name} is compressed; {UNPACK}")
    if ends == {".tar"}:
        return ShardCorpus, {"captions": _captions_in(_archived(places))}
    if len(ends) == 1 and ends <= set(FORMS):
        return TableCorpus, {}
    if ends != {""}:
        raise HelipError(f"{path}: is {', '.join(sorted(one.name for one in places)[:5])}, and of no one kind that is read; {REMEDY}")
    if tars := [tar for one in places for tar in within(one, "*.tar")]:
        _refuse_compressed(path, places)
        return ShardCorpus, {"captions": _captions_in(_archived(tars))}
    if len(places) > 1 and all(within(one, "*.parquet") for one in places):
        return TableCorpus, {}
    if len(places) > 1:
        raise HelipError(f"{path}: names {len(places)} folders; name one, or {REMEDY}")
    if not places[0].is_dir():
        raise HelipError(f"{path}: is a file of no kind that is read; {REMEDY}")
    return _folder(places[0])


def _folder(place: Path) -> tuple[type[Own], dict[str, Any]]:
    first = list(itertools.islice(_pairs(place), FIRST))
    if first:
        return FolderCorpus, {"captions": _captions_in(first, "lines")}
    if tars := within(place, "**/*.tar"):
        return ShardCorpus, {"captions": _captions_in(_archived(tars))}
    if within(place, "**/*.parquet"):
        return TableCorpus, {}
    tables = [one for one in sorted(place.iterdir()) if one.is_file() and _is_table(one)]
    if len(tables) == 1:
        return TableCorpus, {"path": str(tables[0])}
    if tables:
        shown = ", ".join(one.name for one in tables[:8])
        raise HelipError(f"{place}: holds several tables ({shown}) and no image with a caption beside it; name the one to read")
    _refuse_compressed(str(place), [place])
    raise HelipError(f"{place}: holds no shards, no image with a caption beside it and no table; {REMEDY}")


def _is_compressed(file: Path) -> bool:
    return COMPRESSED.search(file.name) is not None


def _refuse_compressed(path: str, places: list[Path]) -> None:
    """Images are read from the middle of a shard, and shards that would be left out are named."""
    if packed := sorted(one.name for place in places for one in place.iterdir() if _is_compressed(one)):
        raise HelipError(f"{path}: holds {len(packed)} compressed archives ({packed[0]}); {UNPACK}, or name the files that are to be read")


def _is_table(file: Path) -> bool:
    """A .txt says something else more often than not."""
    return file.suffix.lower() in FORMS and not file.name.startswith(".") and (file.suffix.lower() != ".txt" or shows_columns(file))


# ---------------------------------------------------------------- where captions are

Texts = dict[str, bytes]  # extension -> what the file says


def _pairs(place: Path) -> Iterator[Texts]:
    """The caption files of each image of a folder that has one."""
    for _, files in grouped(place):
        if IMAGES & files.keys() and {"txt", "json"} & files.keys():
            yield {end: paths[0].read_bytes() for end, paths in files.items() if end in ("txt", "json")}


def _archived(tars: list[Path]) -> list[Texts]:
    """The caption files of the first shard's first samples; a shard that is broken at once shows none."""
    first: list[Texts] = []
    try:
        for _, files in itertools.islice(samples(tars[0], frozenset({"txt", "json"})), FIRST):
            first.append({file.extension.rpartition(".")[2]: file.data for file in files if file.data is not None})
    except BrokenArchive:
        pass
    return first


def _captions_in(first: list[Texts], lines: str = "txt") -> str:
    """txt, lines or json.NAME: as the first samples show. Lines are captions where there are several; `lines` is said where not."""
    texts = [one["txt"] for one in first if "txt" in one]
    if not texts:
        records = [record for one in first if "json" in one and isinstance(record := _parsed(one["json"]), dict)]
        for name in dict.fromkeys(key for key in ("captions", *CAPTIONS) for record in records if key in record):
            if any(isinstance(text, str) for record in records for text in captions_of(record.get(name))):
                return f"json.{name}"
        return lines
    several = sum(len([line for line in text.splitlines() if line.strip()]) > 1 for text in texts)
    return "lines" if 2 * several > len(texts) else lines


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
