"""Published checkpoints: fetched or found, compared with their sha256, and imported into the folder that a training would have written."""

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from helip.config import PublishedCheckpoint
from helip.data.locations import resolve_path
from helip.download.fetching import agreed, fetch
from helip.errors import HelipError
from helip.io import atomic_folder, digest, file_digest, provenance, write_json

if TYPE_CHECKING:
    from helip.models.loading import Clip


def place(checkpoint: PublishedCheckpoint, run: str, folder: Path) -> tuple[Path, Path]:
    """Returns the file, and the record of the first sha256 seen. A fetched one is named by its whole address, since many end in the same
    word.
    """
    if checkpoint.path:
        return resolve_path(checkpoint.path, checkpoint.obtain), folder / f"{run}.json"
    assert checkpoint.url is not None  # a checkpoint has either a path or an address
    file = folder / f"{digest(checkpoint.url)}-{checkpoint.url.rpartition('/')[2]}"
    return file, Path(f"{file}.json")


def obtain(checkpoint: PublishedCheckpoint, run: str, folder: Path) -> tuple[Path, str]:
    """Returns the file and its sha256, fetched into `folder` where it has an address; `folder` keeps the first sha256 seen.

    HelipError where it is missing, cannot be fetched or is another file.
    """
    file, record = place(checkpoint, run, folder)
    if checkpoint.url:
        return file, fetch(checkpoint.url, file, checkpoint.sha256)
    if not file.is_file():
        raise HelipError(
            f"{file}: the published checkpoint of {run} is not there; {checkpoint.obtain or 'put it there or correct the path'}"
        )
    sha256 = agreed(file, file_digest(file), checkpoint.sha256, record)
    write_json(record, {"path": checkpoint.path, "sha256": sha256, "bytes": file.stat().st_size, "pinned": checkpoint.sha256 is not None})
    return file, sha256


def fetch_model(
    checkpoint: PublishedCheckpoint, run: str, folder: Path, out: Path, stands_for: str, over: "Callable[[str], Clip] | None" = None
) -> str:
    """Writes the model folder `out` (weights, config, train.json, an empty curve.csv) and returns the checkpoint's sha256.

    over: makes the model of a reference where it is not the checkpoint itself, but heads over its towers.
    """
    from helip.models.published import import_checkpoint

    if checkpoint.model:
        return _import_model(checkpoint, out, stands_for, over)
    file, sha256 = obtain(checkpoint, run, folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as model, tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.import.") as place:
        published = import_checkpoint(file, Path(place) / "imported")
        for made in (Path(place) / "imported").iterdir():
            made.replace(model / made.name)
        with open(model / "curve.csv", "w", newline="") as curve:
            csv.writer(curve).writerow(("step", "loss"))
        facts = {"digest": stands_for, "published": published.layout, "sha256": sha256, "steps": 0}
        write_json(model / "train.json", provenance(checkpoint, {"checkpoint": sha256}, **facts))
    return sha256


def _import_model(checkpoint: PublishedCheckpoint, out: Path, stands_for: str, over: "Callable[[str], Clip] | None") -> str:
    from helip.models import export, loading
    from helip.models.layout import EMPTY_CURVE, weights_file
    from helip.models.reference import parse

    assert checkpoint.model is not None  # as fetch_model saw
    reference = parse(checkpoint.model)
    file = reference.file or (weights_file(reference.folder) if reference.folder else None)
    sha256 = file_digest(file) if file else ""
    if checkpoint.sha256 and sha256 and sha256 != checkpoint.sha256:
        raise HelipError(
            f"{file}: its sha256 is {sha256} and the study says {checkpoint.sha256}: the checkpoint changed since the study was written; "
            "restore it, or write the study again"
        )
    clip = (over or loading.open_start)(checkpoint.model)
    facts = {"digest": stands_for, "published": checkpoint.model, "sha256": sha256, "steps": 0}
    metadata = provenance(checkpoint, {"checkpoint": sha256 or checkpoint.model}, **facts)
    export.export(out, clip, clip.model.state_dict(), lambda path: _write_empty(path, EMPTY_CURVE), metadata)
    return sha256 or "unknown (a model that open_clip keeps by name)"


def _write_empty(path: Path, text: str) -> None:
    path.write_text(text)
