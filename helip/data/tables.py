"""A table of images and captions, packed into WebDataset shards: one pair an image, with all its captions."""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from helip.config import TableCorpus
from helip.data.delimited import read_delimited
from helip.data.groups import hash64, repeats
from helip.data.index import Left
from helip.data.locations import resolve_path, resolve_paths, within
from helip.data.packing import pack
from helip.data.parquet import count_rows, read_parquet
from helip.data.records import read_records
from helip.data.rows import Row
from helip.errors import HelipError
from helip.progress import progress

TEXT = (".csv", ".tsv", ".txt", ".psv")
RECORDS = (".json", ".jsonl", ".ndjson")
FORMS = (*TEXT, *RECORDS, ".parquet")
OF_TEXT = ("separator", "encoding", "quoted")  # what only a text table has
LOOKS = 100  # rows whose image is looked for in several folders
Read = Callable[[], Iterator[Row]]


def pack_table(declaration: TableCorpus, folder: Path) -> tuple[list[Path], Left, dict[str, Any]]:
    """Writes shards/*.tar into `folder`, image bytes as they are.

    Returns the shards, the rows left out, and how the table was read: form, columns, where relative image paths start. HelipError is
    raised where the table is missing, broken or lacks a column.
    """
    tables = table_files(declaration.path)
    reading, rows = _read(tables, declaration)
    places = Places(tables[0], _root(declaration))
    if reading["format"] != "parquet with images":  # those have no name that says that two rows have one
        rows = merged(lambda: _read(tables, declaration)[1])
    rows = iter(progress(rows, None, "packing", "images"))
    shards, left_out = pack(map(places.located, rows), folder, declaration.samples_per_shard)
    return shards, left_out, reading | places.reading


def _root(declaration: TableCorpus) -> Path | None:
    root = resolve_path(declaration.image_root) if declaration.image_root else None
    if root is not None and not root.is_dir():
        raise HelipError(f"{root}: is no folder, and relative image paths should start there; correct image_root (--image-root)")
    return root


def table_files(declared: str) -> list[Path]:
    """Returns the files of a table: one file, or several parquet files. Raises HelipError where there are none, or of several forms."""
    files = [file for path in resolve_paths(declared) for file in (within(path, "**/*.parquet") if path.is_dir() else [path])]
    if not files:
        raise HelipError(f"{declared}: holds no .parquet files; name the table itself, {', '.join(FORMS)}")
    if (form := files[0].suffix.lower()) not in FORMS:
        raise HelipError(f"{files[0]}: a table is {', '.join(FORMS)}, not '{form}'")
    if len(files) > 1 and any(file.suffix.lower() != ".parquet" for file in files):
        raise HelipError(f"{declared}: names {len(files)} files, and only parquet files are read as one table; join them or name one")
    return files


def count_images(declaration: TableCorpus) -> tuple[int, int]:
    """Returns the distinct images that a table names and its captions; rows with images inside are all distinct, with a caption each.

    Raises HelipError as `pack_table` does.
    """
    tables = table_files(declaration.path)
    reading, rows = _read(tables, declaration)
    if reading["format"] == "parquet with images":
        size = count_rows(tables)
        return size, size
    names, captions = set(), 0
    for row in rows:
        if name := _named(row):
            names.add(name)
            captions += len(row.captions)
    return len(names), captions


def start_of_images(declaration: TableCorpus) -> str | None:
    """Returns the folder that relative image paths start from, looked for as `pack_table` does; None where none is seen or needed.

    Raises HelipError as `pack_table` does.
    """
    tables = table_files(declaration.path)
    reading, rows = _read(tables, declaration)
    if reading["format"] == "parquet with images":
        return None
    places = Places(tables[0], _root(declaration))
    for row in itertools.islice(rows, LOOKS):
        places.located(row)
    return places.reading.get("image_root")


def _read(tables: list[Path], declaration: TableCorpus) -> tuple[dict[str, Any], Iterator[Row]]:
    match tables[0].suffix.lower():
        case ".parquet":
            reading, rows = read_parquet(tables, declaration)
        case suffix if suffix in RECORDS:
            reading, rows = read_records(tables[0], declaration)
        case _:
            reading, rows = read_delimited(tables[0], declaration)
    _refuse_unused(tables[0], declaration, reading)
    return reading, rows


def _refuse_unused(table: Path, declaration: TableCorpus, reading: dict[str, Any]) -> None:
    unused = [*(() if "separator" in reading else OF_TEXT), *(() if "image_column" in reading else ("image_column", "caption_column"))]
    for name in unused:
        if getattr(declaration, name) != type(declaration).model_fields[name].default:
            flag = f"--{name.replace('_', '-')}"
            raise HelipError(f"{table}: is read as {reading['format']}, which has no use for {name}; leave it out ({flag})")


# ---------------------------------------------------------------- rows of one image


def merged(read: Read) -> Iterator[Row]:
    """Yields one row an image, with the captions of all rows that name it, at the place of the first.

    Rows are held in memory only where those of one image do not follow each other. Rows without an image are never one, and neither are
    those whose image is bytes.
    """
    names = np.fromiter((hash64(name.encode("utf-8", "surrogatepass")) for row in read() if (name := _named(row))), np.uint64)
    if repeats(names) == int((names[1:] == names[:-1]).sum()):
        for _, rows in itertools.groupby(enumerate(read()), lambda one: _named(one[1]) or one[0]):
            first, *more = (row for _, row in rows)
            yield replace(first, captions=[c for row in (first, *more) for c in row.captions])
        return
    by: dict[Any, Row] = {}
    for n, row in enumerate(read()):
        known = by.setdefault(_named(row) or n, row)
        if known is not row:
            known.captions += row.captions
    yield from by.values()


def _named(row: Row) -> str | None:
    return row.image if isinstance(row.image, str) and row.image else None


class Places:
    """Where relative image paths start: the declared folder, else the first of the table's, the working directory and the table's
    sub-folders in which an image is there. `reading` says which it is."""

    def __init__(self, table: Path, root: Path | None):
        self._table, self._beside, self._root, self._looks = table, table.parent, root, 0
        self.reading: dict[str, Any] = {}

    def located(self, row: Row) -> Row:
        """Returns the row with an absolute path in place of a relative one. Raises HelipError for an address."""
        if not isinstance(row.image, str) or not row.image:
            return row
        scheme, mark, _ = row.image.partition("://")
        if mark and scheme.isalnum():
            remedy = "write the path of a file on a disk of this machine"
            if scheme.lower() in ("http", "https"):
                remedy = "declare a corpus of kind `downloaded`, which fetches them"
            raise HelipError(f"{self._table}: {row.place}: '{row.image}' is an address and no file; {remedy}")
        path = Path(row.image)
        return replace(row, image=path if path.is_absolute() else self._start(path) / path, name=row.image)

    def _start(self, path: Path) -> Path:
        """The folder that this path starts from. Only the first rows are looked for in several."""
        if self._root is None and self._looks < LOOKS:
            self._looks += 1
            tried = self._tried()
            self._root = next((root for root in tried if _is_file(root / path)), None)
            self.reading = {"image_root": str(self._root)} if self._root else {"image_root_tried": [str(root) for root in tried]}
        elif self._root is not None:
            self.reading = {"image_root": str(self._root)}
        return self._root or self._beside

    def _tried(self) -> list[Path]:
        with os.scandir(self._beside) as entries:
            inner = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        return list(dict.fromkeys([self._beside, Path.cwd(), *(self._beside / name for name in inner)]))


def _is_file(path: Path) -> bool:
    """Path.is_file, which raises for a name that is too long to be one."""
    try:
        return path.is_file()
    except OSError:
        return False
