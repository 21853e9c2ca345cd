"""A CSV, TSV or parquet table of image paths and captions, packed into WebDataset shards."""

from collections.abc import Iterator
from pathlib import Path

from helip.config import TableCorpus
from helip.data.images import BadSample, verify
from helip.data.index import Left
from helip.data.locations import resolve_path
from helip.data.shards import clean_caption
from helip.data.tars import write
from helip.errors import HelipError
from helip.io import read_csv, require_columns
from helip.progress import progress

REMEDY = "set image_column and caption_column"


def pack_table(declaration: TableCorpus, folder: Path) -> tuple[list[Path], Left]:
    """Writes shards/*.tar into `folder`, image bytes as they are; relative image paths start at the table's folder.

    Returns the shards and the rows left out, whose key is the row number.
    """
    table = resolve_path(declaration.path)
    (folder / "shards").mkdir()
    shards: list[Path] = []
    left_out: Left = []
    batch: list[tuple[str, bytes]] = []

    def close() -> None:
        shards.append(folder / "shards" / f"{len(shards):05d}.tar")
        write(shards[-1], batch)
        batch.clear()

    for number, (image, caption) in enumerate(progress(read_rows(table, declaration), None, "packing", "rows")):
        try:
            batch += _files(f"{number:09d}", table.parent / image, caption)
        except BadSample as error:
            left_out.append((f"row {number}", error.reason, f"{image}: {error.detail}" if error.detail else image))
        if len(batch) >= 2 * declaration.samples_per_shard:
            close()
    if batch:
        close()
    return shards, left_out


def _files(key: str, image: Path, caption: str | None) -> list[tuple[str, bytes]]:
    text = clean_caption(caption.encode("utf-8", "surrogateescape") if caption is not None else None)
    try:
        data = image.read_bytes()
    except (OSError, ValueError) as error:
        raise BadSample("image file cannot be read", getattr(error, "strerror", None) or str(error)) from None
    return [(f"{key}.{verify(data)}", data), (f"{key}.txt", text)]


def read_rows(table: Path, declaration: TableCorpus) -> Iterator[tuple[str, str | None]]:
    """Yields (image path, caption) of each row, streamed. Raises HelipError where the table is missing, broken or lacks a column."""
    columns = (declaration.image_column, declaration.caption_column)
    if not table.is_file():
        raise HelipError(f"{table}: there is no such table; put it there or correct the path '{declaration.path}'")
    match table.suffix.lower():
        case ".parquet":
            yield from _parquet(table, columns)
        case ".csv" | ".tsv" as suffix:
            rows = read_csv(table, REMEDY, columns, "," if suffix == ".csv" else "\t")
            yield from ((row[columns[0]] or "", row[columns[1]]) for row in rows)
        case other:
            raise HelipError(f"{table}: a table is .csv, .tsv or .parquet, not '{other}'")


def _parquet(table: Path, columns: tuple[str, str]) -> Iterator[tuple[str, str | None]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(table)
        require_columns(table, columns, file.schema_arrow.names, REMEDY)
        for batch in file.iter_batches(columns=list(columns)):
            yield from ((str(i), None if c is None else str(c)) for i, c in zip(*(batch[c].to_pylist() for c in columns), strict=True))
    except (pyarrow.ArrowException, OSError) as error:
        raise HelipError(f"{table}: not readable as parquet ({str(error).splitlines()[0]}); fetch or write it again") from None
