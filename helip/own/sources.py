"""What `--data`, `--evaluate` and `--retention` name, as declarations of a study."""

import re
from pathlib import Path
from typing import Any

from helip.errors import HelipError

RETRIEVAL = ("mscoco_captions", "flickr30k", "flickr8k")  # of CLIP benchmark's names; the others are classifications


def corpus_of(data: str, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the declaration of a corpus of pairs: a table for a file, shards for a folder or a glob of .tar files.

    options: further fields, such as the columns of a table. Raises HelipError where nothing is there.
    """
    path = Path(data).expanduser()
    if path.is_file() and path.suffix != ".tar":
        return {"kind": "table", "path": str(path.resolve()), **options}
    if not path.exists() and not list(path.parent.glob(path.name)):
        raise HelipError(f"--data {data}: is not there; give a folder or glob of .tar shards, or a .csv, .tsv or .parquet table")
    return {"kind": "webdataset", "path": str(path.absolute()), **options}


def count_pairs(declared: dict[str, Any]) -> int:
    """Returns about how many pairs a corpus has, from its size alone: rows of a table, or samples of its first shard times the shards.

    Raises HelipError where it cannot be read.
    """
    from helip.config import TableCorpus
    from helip.config.reading import validate
    from helip.data.build import shard_files
    from helip.data.tables import read_rows
    from helip.data.tars import samples

    if declared["kind"] == "table":
        return sum(1 for _ in read_rows(Path(declared["path"]), validate(TableCorpus, declared, "--data")))
    files = shard_files(declared["path"])
    first = max(sum(1 for _ in samples(files[0], frozenset())), 1)
    return round(first * sum(file.stat().st_size for file in files) / files[0].stat().st_size)


def evaluation_sets(named: tuple[str, ...], option: str) -> dict[str, dict[str, Any]]:
    """Returns evaluation sets by name. Each is a folder in CLIP benchmark's wds layout, or NAME=ROOT: a set that it builds, and its folder.

    Raises HelipError for what is neither.
    """
    sets: dict[str, dict[str, Any]] = {}
    for text in named:
        benchmark, mark, root = text.partition("=")
        path = Path(root if mark else text).expanduser()
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
