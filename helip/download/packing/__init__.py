"""Evaluation sets that CLIP benchmark knows no split of, or not without TensorFlow, in its wds layout with a split that is fixed here."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from helip.data.images import BadSample, verify
from helip.data.tars import write
from helip.errors import HelipError
from helip.io import atomic_folder, provenance, write_json
from helip.progress import progress

PER_SHARD = 1000


class Item(NamedTuple):
    """This is an image file and the number of its class."""

    image: Path
    label: int


class Unpacked(NamedTuple):
    """This is a set as its authors' archive holds it."""

    class_names: list[str]
    templates: list[str]  # {c} stands for the class name
    splits: dict[str, list[Item]]  # train and test
    split_of: str  # where the split comes from


def pack(name: str, read: Callable[[], Unpacked], out: Path) -> dict[str, int]:
    """Writes `out` in CLIP benchmark's layout (classnames.txt, templates, {train,test}/{n}.tar) and returns the items of each split."""
    unpacked = read()
    with atomic_folder(out) as folder:
        (folder / "classnames.txt").write_text("".join(f"{c}\n" for c in unpacked.class_names))
        (folder / "zeroshot_classification_templates.txt").write_text("".join(f"{t}\n" for t in unpacked.templates))
        for split, items in unpacked.splits.items():
            _write_split(folder / split, items, f"packing {name} {split}")
        counts = {split: len(items) for split, items in unpacked.splits.items()}
        write_json(folder / "packed.json", provenance({"set": name, "split_of": unpacked.split_of}, items=counts))
    return counts


def _write_split(folder: Path, items: list[Item], what: str) -> None:
    folder.mkdir()
    shards = [items[i : i + PER_SHARD] for i in range(0, len(items), PER_SHARD)]
    for number, shard in enumerate(progress(shards, len(shards), what, "shards")):
        files = []
        for place, item in enumerate(shard):
            key, data = f"{number * PER_SHARD + place:07d}", _bytes(item.image)
            files += [(f"{key}.{verify_named(data, item.image)}", data), (f"{key}.cls", str(item.label).encode())]
        write(folder / f"{number}.tar", files)
    (folder / "nshards.txt").write_text(f"{len(shards)}\n")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HelipError(f"{path}: cannot be read ({error.strerror}); unpack the archive again") from None


def verify_named(data: bytes, path: Path) -> str:
    """Returns the extension that CLIP benchmark decodes the image by; HelipError with the file's name for one that cannot be decoded."""
    try:
        kind = verify(data)
    except BadSample as error:
        raise HelipError(f"{path}: {error}; unpack the archive again") from None
    if kind not in ("jpg", "png", "webp"):
        raise HelipError(f"{path}: is a {kind} image, and CLIP benchmark reads jpg, png and webp; unpack the archive again")
    return kind


def benchmark_words(name: str, what: str) -> list[str]:
    """Returns CLIP benchmark's own class names or templates of a set."""
    import json
    from importlib.resources import files

    file = files("clip_benchmark.datasets").joinpath(f"en_{what}.json")
    return json.loads(file.read_text())[name]
