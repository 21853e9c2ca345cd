"""A PairSet in forms that others read: parquet, and the CSV of the released code."""

import csv
from pathlib import Path

import numpy as np

from helip.io import atomic_file
from helip.mining.pairs import PairSet

CHUNK = 100_000  # targets written together


def to_parquet(pairs: PairSet, path: Path) -> None:
    """Writes one row a target: target int64, noise bool, hard list<int32>, score list<float32>."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"target": pa.int64(), "noise": pa.bool_(), "hard": pa.list_(pa.int32()), "score": pa.list_(pa.float32())})
    with atomic_file(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for start in range(0, len(pairs), CHUNK):
            stop = min(start + CHUNK, len(pairs))
            offsets = pairs.offsets[start : stop + 1]
            flat = slice(offsets[0], offsets[-1])
            local = (offsets - offsets[0]).astype(np.int32)
            lists = [pa.ListArray.from_arrays(local, np.asarray(values[flat])) for values in (pairs.ids, pairs.scores_flat)]
            columns = [np.arange(start, stop) + pairs.first, np.asarray(pairs.noise[start:stop]), *lists]
            writer.write_table(pa.table(columns, schema=schema))


def to_csv(pairs: PairSet, path: Path) -> None:
    """Writes the released code's form: a line a target, its id and then the ids of its hard pairs.

    Noise targets are left out: there every line has k pairs, and its sampler draws from a prefix.
    """
    with atomic_file(path) as temporary, open(temporary, "w", newline="") as f:
        writer = csv.writer(f)
        for i in np.flatnonzero(~pairs.noise):
            writer.writerow([i + pairs.first, *pairs.hard(i).tolist()])
