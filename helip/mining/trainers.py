"""Pairs, hard pairs and masks as other trainers read them: rows with sample keys, open_clip_train's CSV, sentence-transformers' tuples.

A sample is named by its row in the corpus and, where the corpus is given, by its key and the shard that holds it: keys alone need not
differ between shards. A byte of a key that is not UTF-8 stands there as \\xNN.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from helip.errors import HelipError
from helip.io import atomic_file, atomic_folder, printable, provenance, write_json
from helip.mining.pairs import PairSet

ORIGIN = "export.json"  # in a folder made here: what it is of
SUFFIXES = (".parquet", ".csv", ".jsonl")
IN_A_FOLDER = 10_000  # images that lie together
CHUNK = 100_000  # rows of parquet written together
Row = dict[str, Any]


class Samples(Protocol):
    """This protocol is what is asked of a corpus; `helip.data.corpus.Corpus` has it."""

    def __len__(self) -> int: ...

    def captions(self, i: int) -> list[str]:
        """Returns all captions of sample i, at least one."""

    def key(self, i: int) -> str:
        """Returns the name of sample i in its shard."""

    def shard_of(self, i: int) -> int:
        """Returns the position of its shard."""

    def shard_path(self, shard: int) -> Path:
        """Returns the path of a shard."""

    def image_bytes(self, i: int) -> bytes:
        """Returns the encoded image of sample i."""


def _name(corpus: Samples | None, i: int, what: str) -> Row:
    if corpus is None:
        return {what: i}
    return {what: i, f"{what}_key": printable(corpus.key(i)), f"{what}_shard": corpus.shard_path(corpus.shard_of(i)).name}


def triplets(pairs: PairSet, corpus: Samples | None = None) -> Iterator[Row]:
    """Yields a row for each hard pair of each target: target, hard, rank (0 is the hardest) and score; with a corpus, keys and shards too.

    Raises HelipError where the corpus is another than the pairs were mined on.
    """
    if corpus is not None and len(corpus) != pairs.corpus_size:
        raise HelipError(f"the corpus has {len(corpus)} pairs, and the hard pairs are of one of {pairs.corpus_size}: give that corpus")
    for t in range(len(pairs)):
        target = _name(corpus, t + pairs.first, "target")
        for rank, (hard, score) in enumerate(zip(pairs.hard(t).tolist(), pairs.scores(t).tolist(), strict=True)):
            yield target | _name(corpus, hard, "hard") | {"rank": rank, "score": score}


def mask_rows(keep: np.ndarray, corpus: Samples) -> Iterator[Row]:
    """Yields a row for each sample of a corpus: row, row_key, row_shard, and keep, whether the selection has it (bool [N])."""
    for i in range(len(keep)):
        yield _name(corpus, i, "row") | {"keep": bool(keep[i])}


def write_rows(rows: Iterable[Row], path: Path) -> int:
    """Writes rows of equal names as .parquet, .csv or JSON lines, by the end of the file's name, and returns how many there were.

    Raises HelipError for another form.
    """
    if path.suffix not in SUFFIXES:
        raise HelipError(f"{path}: '{path.suffix}' is no form rows are exported in; use {', '.join(SUFFIXES)}")
    count = 0
    with atomic_file(path) as temporary, _writer(temporary, path.suffix) as write:
        for row in rows:
            write(row)
            count += 1
    return count


@contextmanager
def _writer(path: Path, suffix: str) -> Iterator[Any]:
    if suffix == ".parquet":
        with _parquet(path) as write:
            yield write
        return
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as f:
        if suffix == ".jsonl":
            yield lambda row: f.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        table, head = csv.writer(f), list[str]()

        def write_line(row: Row) -> None:
            if not head:
                head.extend(row)
                table.writerow(head)
            table.writerow(row.values())

        yield write_line


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting: list[Row] = []
    writers: list[Any] = []

    def flush() -> None:
        table = pa.Table.from_pylist(waiting)
        writers[:] = writers or [pq.ParquetWriter(path, table.schema)]
        writers[0].write_table(table)
        waiting.clear()

    def write(row: Row) -> None:
        waiting.append(row)
        if len(waiting) == CHUNK:
            flush()

    yield write
    if waiting or not writers:
        flush()
    writers[0].close()


# ---------------------------------------------------------------- trainers


def for_open_clip(corpus: Samples, ids: np.ndarray, out: Path, inputs: dict[str, str]) -> int:
    """Writes pairs.csv and the images of `ids` into the folder `out`, and returns the lines: a caption a line, an image as it is stored.

    `open_clip_train --train-data OUT/pairs.csv --dataset-type csv` reads it with its own defaults, a tab between filepath and title. Paths
    are absolute, so the folder stays where it is.
    """
    with atomic_folder(out) as folder:
        lines = ({"filepath": place, "title": title} for i, place in _images(corpus, ids, folder, out) for title in corpus.captions(i))
        count = 0
        with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as f:
            table = csv.writer(f, delimiter="\t")
            table.writerow(("filepath", "title"))
            for line in lines:
                table.writerow(line.values())
                count += 1
        write_json(folder / ORIGIN, provenance({"for": "open_clip"}, inputs, lines=count, images=len(ids)))
    return count


def for_sentence_transformers(
    corpus: Samples, pairs: PairSet, keep: np.ndarray | None, negatives: int, out: Path, inputs: dict[str, str]
) -> tuple[int, int]:
    """Writes train.jsonl and the images of its anchors into the folder `out`; returns how many tuples there are, and how many targets
    have none.

    A tuple is an image (`anchor`, a path), its caption (`positive`) and the captions of its hardest pairs (`negative`, or `negative_1`,
    `negative_2`, ...), as MultipleNegativesRankingLoss takes them. A target has none where fewer than `negatives` hard pairs remain: a
    caption equal to the positive is no negative, and what the selection left out is not used. Raises HelipError where none has any.
    """
    if len(corpus) != pairs.corpus_size or len(pairs) != pairs.corpus_size:
        raise HelipError(
            f"the hard pairs are {len(pairs)} targets of {pairs.corpus_size} pairs, and the corpus has {len(corpus)}: join shards"
        )
    takes_part = np.ones(len(corpus), bool) if keep is None else keep
    rows = {
        i: texts for i in np.flatnonzero(takes_part & ~pairs.noise).tolist() if (texts := _texts(corpus, pairs, takes_part, i, negatives))
    }
    if not rows:
        raise HelipError(f"{out}: no target has {negatives} hard captions; ask for fewer, or mine with a larger k or a lower tau")
    names = ["negative"] if negatives == 1 else [f"negative_{n + 1}" for n in range(negatives)]
    with atomic_folder(out) as folder:
        with open(folder / "train.jsonl", "w", encoding="utf-8") as f:
            for i, place in _images(corpus, np.array(sorted(rows), np.int64), folder, out):
                row = {"anchor": place} | dict(zip(["positive", *names], rows[i], strict=True))
                f.write(json.dumps(row, ensure_ascii=False) + "\n")
        facts = {"for": "sentence-transformers", "negatives": negatives}
        write_json(folder / ORIGIN, provenance(facts, inputs, tuples=len(rows)))
    return len(rows), int(takes_part.sum()) - len(rows)


def _texts(corpus: Samples, pairs: PairSet, takes_part: np.ndarray, i: int, negatives: int) -> list[str]:
    """A target's caption and those of its hardest pairs; nothing where there are too few."""
    own = corpus.captions(i)
    others = dict.fromkeys(corpus.captions(j)[0] for j in pairs.hard(i).tolist() if takes_part[j])
    hardest = [caption for caption in others if caption not in own][:negatives]
    return [own[0], *hardest] if len(hardest) == negatives else []


def _images(corpus: Samples, ids: np.ndarray, folder: Path, out: Path) -> Iterator[tuple[int, str]]:
    """Writes images as they are stored, and yields each id with the path that the image will have in `out`."""
    for i in ids.tolist():
        data = corpus.image_bytes(i)
        with Image.open(io.BytesIO(data)) as image:
            form = (image.format or "png").lower()
        place = Path("images") / f"{i // IN_A_FOLDER:05d}" / f"{i:08d}.{form}"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(data)
        yield i, str(out.absolute() / place)
