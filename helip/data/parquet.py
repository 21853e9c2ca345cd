"""Rows of parquet files: paths to images, or the images themselves as the Hugging Face Hub stores them."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helip.config import TableCorpus
from helip.data.columns import pick
from helip.data.rows import Row, captions_of, image_of
from helip.errors import HelipError

ROWS = 256  # read at once: they may hold their images


def read_parquet(tables: list[Path], declaration: TableCorpus) -> tuple[dict[str, Any], Iterator[Row]]:
    """Returns how the files are read (columns, where the images are) and their rows, one file behind the other.

    An image is a path, its bytes, or a struct {bytes, path}: the first rows show where the images are. A caption is a text or a list of
    texts. Raises HelipError where a file is broken or lacks a column.
    """
    columns = pick(tables[0], _file(tables[0]).schema_arrow.names, declaration.image_column, declaration.caption_column)
    rows = _rows(tables, columns.image, columns.caption)
    first = list(itertools.islice(rows, ROWS))
    inside = any(isinstance(row.image, bytes) for row in first) and not any(isinstance(row.image, str) for row in first)
    reading = {
        "format": f"parquet with {'images' if inside else 'paths'}",
        "image_column": columns.image,
        "caption_column": columns.caption,
    }
    return reading, itertools.chain(first, rows)


def count_rows(tables: list[Path]) -> int:
    """Returns the rows of parquet files, of which only the ends are read. Raises HelipError where a file is broken."""
    return sum(int(_file(table).metadata.num_rows) for table in tables)


def _rows(tables: list[Path], image: str, caption: str) -> Iterator[Row]:
    import pyarrow

    for table in tables:
        where = f"{table.name} " if len(tables) > 1 else ""
        number, file = 0, _file(table)
        pick(table, file.schema_arrow.names, image, caption)
        try:
            for batch in file.iter_batches(ROWS, columns=[image, caption]):
                for cell, text in zip(_cells(batch[image]), _cells(batch[caption]), strict=True):
                    yield Row(f"{where}row {number}", image_of(cell), captions_of(text))
                    number += 1
        except (pyarrow.ArrowException, OSError) as error:
            raise _unreadable(table, error) from None


def _cells(column: Any) -> list[Any]:
    """A column's values. Bytes that are not UTF-8 become lone surrogates in every text, so that they cost that text alone."""
    import pyarrow
    import pyarrow.compute
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        values = column.cast(pyarrow.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in values]
    if types.is_struct(kind):
        rows = zip(*map(_cells, column.flatten()), strict=True)
        names = [field.name for field in kind]
        return [
            dict(zip(names, row, strict=True)) if there else None for row, there in zip(rows, column.is_valid().to_pylist(), strict=True)
        ]
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        values = iter(_cells(column.flatten()))
        lengths = pyarrow.compute.list_value_length(column).to_pylist()
        return [None if length is None else list(itertools.islice(values, length)) for length in lengths]
    return list(column.to_pylist())


def _file(table: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(table)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(table, error) from None


def _unreadable(table: Path, error: Exception) -> HelipError:
    return HelipError(f"{table}: not readable as parquet ({str(error).splitlines()[0]}); fetch or write it again")
