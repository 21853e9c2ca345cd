"""A published table of image addresses and captions as the one parquet file that img2dataset reads. Streamed: nothing of it stays in memory
but 8 bytes an address."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from helip.config import DownloadedCorpus
from helip.errors import HelipError
from helip.io import atomic_file

ROWS = 1 << 16


def write_addresses(declaration: DownloadedCorpus, table: Path, out: Path) -> dict[str, int]:
    """Writes `out` with columns url, caption and, where the source publishes one, the image's hash, and returns counts.

    They are rows (of them all or of the sample), unusable (no address, or not UTF-8: left out) and duplicate_addresses (kept).
    """
    columns = [declaration.url_column, declaration.caption_column, *([declaration.hash_column] if declaration.hash_column else [])]
    names = ["url", "caption", *([declaration.hash] if declaration.hash else [])]
    schema, rows, read, seen = pa.schema([(n, pa.string()) for n in names]), 0, 0, []
    drawn = _sample(declaration, table)
    with atomic_file(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for batch in _batches(table, declaration.header, columns):
            wanted = _wanted(batch, read, drawn)
            read += batch.num_rows
            valid = [row for row in _texts(wanted) if row is not None]
            if valid:
                writer.write_table(pa.table([pa.array(c, pa.string()) for c in zip(*valid, strict=True)], schema=schema))
            rows += wanted.num_rows
            seen.append(np.array([_short(row[0]) for row in valid], np.uint64))
    addresses = np.concatenate(seen) if seen else np.zeros(0, np.uint64)
    if not len(addresses):
        raise HelipError(f"{table}: holds no address with a caption; check url_column and caption_column")
    unique = len(np.unique(addresses))
    return {"rows": rows, "unusable_rows": rows - len(addresses), "duplicate_addresses": len(addresses) - unique}


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _texts(batch: pa.RecordBatch) -> Iterator[tuple[str, ...] | None]:
    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        try:
            texts = tuple("" if v is None else v.decode() if isinstance(v, bytes) else str(v) for v in row)
        except UnicodeDecodeError:
            yield None
            continue
        yield texts if texts[0].strip() else None


# ---------------------------------------------------------------- sampling


def _sample(declaration: DownloadedCorpus, table: Path) -> np.ndarray | None:
    """The sorted row numbers that are drawn, uniformly without replacement."""
    if declaration.sample is None:
        return None
    total = count_rows(table, declaration)
    if declaration.sample > total:
        raise HelipError(f"{table}: has {total} rows, and sample asks for {declaration.sample}; lower it or put the whole table there")
    random = np.random.default_rng(declaration.sample_seed)
    return np.sort(random.choice(total, declaration.sample, replace=False, shuffle=False))


def _wanted(batch: pa.RecordBatch, first: int, drawn: np.ndarray | None) -> pa.RecordBatch:
    if drawn is None:
        return batch
    start, end = np.searchsorted(drawn, [first, first + batch.num_rows])
    return batch.take(pa.array(drawn[start:end] - first))


def count_rows(table: Path, declaration: DownloadedCorpus) -> int:
    """Returns the number of rows of the declared table; HelipError where it cannot be read."""
    if _is_parquet(table):
        with _readable(table):
            return sum(pq.ParquetFile(f).metadata.num_rows for f in _parquet_files(table))
    return sum(batch.num_rows for batch in _batches(table, declaration.header, [declaration.url_column]))


# ---------------------------------------------------------------- reading


def _batches(table: Path, header: tuple[str, ...] | None, columns: list[str]) -> Iterator[pa.RecordBatch]:
    if not table.exists():
        raise HelipError(f"{table}: there is no such table; put it there")
    with _readable(table):
        yield from _parquet(table, columns) if _is_parquet(table) else _delimited(table, header, columns)


@contextlib.contextmanager
def _readable(table: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise HelipError(f"{table}: not readable ({str(error).splitlines()[0]}); fetch it again") from None


def _is_parquet(table: Path) -> bool:
    return table.is_dir() or table.suffix == ".parquet"


def _parquet_files(table: Path) -> list[Path]:
    files = sorted(table.glob("*.parquet")) if table.is_dir() else [table]
    if not files:
        raise HelipError(f"{table}: holds no .parquet files; put the table there")
    return files


def _parquet(table: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for path in _parquet_files(table):
        file = pq.ParquetFile(path)
        _check_columns(path, columns, file.schema_arrow.names)
        for batch in file.iter_batches(ROWS, columns=columns):
            yield batch.select(columns)


def _delimited(table: Path, header: tuple[str, ...] | None, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Bytes, as a published table may hold captions that are not UTF-8. In a .tsv a quote is a character like any other."""
    is_tsv = table.suffix == ".tsv"
    names = header or _first_line(table, "\t" if is_tsv else ",")
    _check_columns(table, columns, list(names))
    reader = pyarrow.csv.open_csv(
        table,
        pyarrow.csv.ReadOptions(column_names=names, skip_rows=0 if header else 1, block_size=1 << 24),
        pyarrow.csv.ParseOptions(delimiter="\t" if is_tsv else ",", quote_char=False if is_tsv else '"', newlines_in_values=not is_tsv),
        pyarrow.csv.ConvertOptions(include_columns=columns, column_types={c: pa.binary() for c in columns}, strings_can_be_null=False),
    )
    yield from reader


def _first_line(table: Path, delimiter: str) -> list[str]:
    with open(table, encoding="utf-8-sig", errors="replace") as file:
        return [name.strip().strip('"') for name in file.readline().rstrip("\r\n").split(delimiter)]


def _check_columns(table: Path, columns: list[str], has: list[str]) -> None:
    for column in columns:
        if column not in has:
            raise HelipError(
                f"{table}: has no column '{column}'; it has {', '.join(has)}: set header, url_column, caption_column, hash_column"
            )
