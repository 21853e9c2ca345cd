"""Rows of a text table: CSV with any separator. A row that does not fit its header is refused with its line; nothing is guessed."""

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helip.config import TableCorpus
from helip.data.columns import Columns, pick, usual
from helip.data.rows import Row, captions_of, image_of
from helip.errors import HelipError

SEPARATORS = ("\t", ",", ";", "|")
PADDED = (",", ";", "\t")  # behind these a space may stand before a quote; behind Flickr30k's | a quote is a character
MARKS = (  # UTF-32's before UTF-16's, which it begins with
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def read_delimited(table: Path, declaration: TableCorpus) -> tuple[dict[str, Any], Iterator[Row]]:
    """Returns how the table is read (separator, columns) and its rows, streamed.

    Bytes that are not UTF-8 become lone surrogates, so that their captions are left out with that reason. Raises HelipError, with the
    line, for a row longer than the header and for a quote that is not closed.
    """
    encoding = _encoding(table, declaration.encoding)
    separator, header = _header(table, declaration, encoding)
    columns = pick(table, header, declaration.image_column, declaration.caption_column)
    reading = {"format": "text table", "separator": separator, "image_column": columns.image, "caption_column": columns.caption}
    return reading, _rows(table, declaration, encoding, separator, header, columns)


def shows_columns(table: Path) -> bool:
    """Returns whether the first line of a text file names a column of images and one of captions."""
    try:
        return usual(_header(table, TableCorpus(path=str(table)), _encoding(table, "utf-8"))[1], None, None)
    except (HelipError, OSError):
        return False


def _encoding(table: Path, declared: str) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=declared)
    except (LookupError, ValueError):
        raise HelipError(f"{table}: '{declared}' is no encoding; write for example utf-8, latin-1 or cp1252") from None
    with open(table, "rb") as file:
        start = file.read(4)
    return next((name for mark, name in MARKS if start.startswith(mark)), codecs.lookup(declared).name)


def _open(table: Path, encoding: str) -> Any:
    return open(table, newline="", encoding=encoding, errors="surrogateescape" if encoding.startswith("utf-8") else "strict")


def _reader(lines: Any, separator: str, quoted: bool) -> Any:
    csv.field_size_limit(1 << 24)
    if not quoted:
        return csv.reader(lines, delimiter=separator, strict=True, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=separator in PADDED)


def _header(table: Path, declaration: TableCorpus, encoding: str) -> tuple[str, list[str]]:
    """(separator, names of the columns). The separator is the one that shows both columns, else the one that makes most of them."""
    try:
        with _open(table, encoding) as file:
            line = next((line for line in file if line.strip()), "")
    except UnicodeError as error:
        raise _undecodable(table, encoding, error) from None
    if "\0" in line:
        which = "as UTF-16 without a byte-order mark does; name its encoding (--encoding), for example utf-16-le"
        raise HelipError(f"{table}: its first line holds NULs, {which}")
    by: dict[str, list[str]] = {}
    for separator in (declaration.separator,) if declaration.separator else SEPARATORS:
        try:
            by[separator] = next(_reader([line], separator, declaration.quoted), [])
        except csv.Error:
            by[separator] = line.split(separator)
    asked = (declaration.image_column, declaration.caption_column)
    best = max(by, key=lambda separator: (usual(by[separator], *asked), len(by[separator])))
    return best, [name for name in by[best] if name.strip() or len(by[best]) > 1]


def _rows(table: Path, declaration: TableCorpus, encoding: str, separator: str, header: list[str], columns: Columns) -> Iterator[Row]:
    image, caption = header.index(columns.image), header.index(columns.caption)
    with _open(table, encoding) as file:
        reader = _reader(file, separator, declaration.quoted)
        while not "".join(next(reader)).strip():
            pass
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                hint = "close its quote, or give quoted: false (--no-quoted) where quotes are characters like any other"
                raise HelipError(f"{table}: line {line}: {error}; {hint}") from None
            except UnicodeError as error:
                raise _undecodable(table, encoding, error) from None
            if cells is None:
                return
            if len(cells) > len(header):
                raise HelipError(
                    f"{table}: line {line} has {len(cells)} cells and the header {len(header)} ({separator.join(cells)[:60]!r}); quote the "
                    f"cell that holds {separator!r}, or correct the separator"
                )
            if cells:
                cells += [None] * (len(header) - len(cells))
                yield Row(f"line {line}", image_of(cells[image]), captions_of(cells[caption]))


def _undecodable(table: Path, encoding: str, error: UnicodeError) -> HelipError:
    return HelipError(f"{table}: is not {encoding} ({error}); name its encoding (--encoding), for example latin-1, cp1252 or utf-16")
