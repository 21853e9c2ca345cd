"""What `--data`, `--evaluate` and `--retention` name, as declarations of a study."""

import re
from pathlib import Path
from typing import Any

from helip.errors import HelipError

RETRIEVAL = ("mscoco_captions", "flickr30k", "flickr8k")  # of CLIP benchmark's names; the others are classifications


def corpus_of(data: str, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the declaration of the pairs at `data`, whatever they are, with what was seen of them.

    options: further fields of the declaration. Raises HelipError for data of no known kind, and for an option that the kind has not.
    """
    from helip.data.detection import detect
    from helip.data.locations import BETWEEN

    whole = BETWEEN.join(part if "://" in part else str(Path(part).expanduser().absolute()) for part in data.split(BETWEEN))
    declared = detect(whole, options)
    return {"kind": declared.kind, **declared.model_dump(mode="json", exclude_defaults=True)}


def count_pairs(declared: dict[str, Any]) -> int:
    """Returns about how many pairs a corpus has: images of a folder, rows of tables, or samples of the first shard times the shards' size.

    Rows of one image are one pair, so a table may have fewer.
    """
    from helip.data.locations import resolve_paths
    from helip.data.shards import IMAGES
    from helip.data.tables import table_files

    match declared["kind"]:
        case "table":
            return max(1, sum(map(_rows, table_files(declared["path"]))))
        case "folder":
            return sum(file.suffix.lower().lstrip(".") in IMAGES for place in resolve_paths(declared["path"]) for file in place.rglob("*"))
    return _archived(
        [file for place in resolve_paths(declared["path"]) for file in (sorted(place.glob("*.tar")) if place.is_dir() else [place])]
    )


def _archived(files: list[Path]) -> int:
    from helip.data.tars import BrokenArchive, samples

    first = 0
    try:
        for _ in samples(files[0], frozenset()):
            first += 1
    except BrokenArchive:
        pass
    return round(max(first, 1) * sum(file.stat().st_size for file in files) / max(files[0].stat().st_size, 1))


def _rows(file: Path) -> int:
    match file.suffix.lower():
        case ".parquet":
            import pyarrow.parquet

            return int(pyarrow.parquet.ParquetFile(file).metadata.num_rows)
        case ".json":
            import json

            return len(json.loads(file.read_text()))
    with open(file, "rb") as lines:
        return sum(1 for line in lines if line.strip())


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
