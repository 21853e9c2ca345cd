"""A refined model and its start in one: weights on the line between them (WiSE-FT, arXiv 2109.01903).

NumPy only, and a moment's work, where the start is a folder of safetensors; other starts are read by open_clip.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from helip.errors import HelipError
from helip.io import atomic_folder, file_digest, provenance, read_json, write_json
from helip.models.layout import CONFIG, CURVE, EMPTY_CURVE, METADATA, SCALARS, TOKENIZER, WEIGHTS, save_weights
from helip.models.reference import parse

Weights = dict[str, np.ndarray]


def interpolated(start: Weights, refined: Weights, weight: float) -> Weights:
    """Returns (1 - weight) start + weight refined of every floating-point entry, computed in float32 or better.

    Counters are the refined model's. A logit scale of shape [1] is one of shape []. HelipError where the two are not of one architecture.
    """
    start = {name: w.reshape(refined[name].shape) if _is_scalar(name, w, refined) else w for name, w in start.items()}
    if not _alike(start, refined):
        raise HelipError("the start and the refined model differ in architecture: give the checkpoint that the model was refined from")
    mixed = {name: _between(start[name], new, weight) for name, new in refined.items() if new.dtype.kind == "f"}
    if broken := [name for name, w in mixed.items() if not np.isfinite(w).all()]:
        raise HelipError(f"{broken[0]} holds NaN or infinity in the start or in the refined model: one of the two diverged; take another")
    return refined | mixed


def _is_scalar(name: str, w: np.ndarray, refined: Weights) -> bool:
    return name in SCALARS and name in refined and w.size == refined[name].size == 1


def _alike(start: Weights, refined: Weights) -> bool:
    shapes = [{name: (w.shape if w.size > 1 or name not in SCALARS else ()) for name, w in given.items()} for given in (start, refined)]
    return shapes[0] == shapes[1]


def _between(old: np.ndarray, new: np.ndarray, weight: float) -> np.ndarray:
    kind = np.result_type(new.dtype, np.float32)
    return np.asarray((1 - weight) * old.astype(kind) + weight * new.astype(kind), new.dtype)  # of a single number too


def write(start: str, refined: Path, weight: float, out: Path, facts: dict[str, Any] | None = None) -> None:
    """Writes the model folder `out`: (1 - weight) start + weight refined, with the files of a training.

    start: a checkpoint as every command names it (helip.models.reference). refined: a model folder, whose config and tokenizer are copied.
    facts: more entries of train.json, for example the digest that a study gives the model. Raises HelipError for a weight outside
    [0, 1], for weights that are missing, and for two models of different architecture.
    """
    if not 0 <= weight <= 1:
        raise HelipError(f"--weight {weight:g}: the refined model's share lies between 0 and 1")
    described = metadata(start, refined, weight, facts or {})
    trained = weights_of(refined)
    mixed = interpolated(start_weights(start, trained), trained, weight)
    with atomic_folder(out) as folder:
        save_weights(save_file, mixed, folder / WEIGHTS)
        for name in (CONFIG, *TOKENIZER):
            if (refined / name).is_file():
                shutil.copyfile(refined / name, folder / name)
        (folder / CURVE).write_text(EMPTY_CURVE)
        write_json(folder / METADATA, described)


def metadata(start: str, refined: Path, weight: float, facts: dict[str, Any]) -> dict[str, Any]:
    """Returns what train.json says of an interpolation: facts of the refined model, digests of both ends, and the weight."""
    trained = read_json(refined / METADATA) if (refined / METADATA).exists() else {}
    inherited = {name: trained[name] for name in ("seed", "steps", "recovered_share") if name in trained}
    file = _safetensors(start)
    inputs = {"start": file_digest(file) if file else start, "refined": file_digest(trained_weights(refined))}
    return provenance({"interpolate": {"weight": weight, **facts}}, inputs, **inherited, **facts)


def start_weights(start: str, refined: Weights) -> Weights:
    """Returns the weights of a start checkpoint: of a folder of safetensors without torch, of any other through open_clip.

    A folder whose weights are not yet as its config says, of another image size for example, is opened as a refinement opened it.
    """
    if (file := _safetensors(start)) and _alike(given := weights_of(file.parent), refined):
        return given
    from helip.models.loading import open_start

    return {name: w.float().numpy() if w.is_floating_point() else w.numpy() for name, w in open_start(start).model.state_dict().items()}


def _safetensors(start: str) -> Path | None:
    """The safetensors file of a start that is a folder; None for other starts and layouts."""
    folder = parse(start).folder
    return folder / WEIGHTS if folder is not None and (folder / WEIGHTS).exists() else None


def trained_weights(folder: Path) -> Path:
    """Returns the safetensors file of a trained model's folder. Raises HelipError where it is not there."""
    file = folder / WEIGHTS
    if not file.is_file():
        raise HelipError(f"{file}: not found; train it first")
    return file


def weights_of(folder: Path) -> Weights:
    """Returns the weights that a model folder holds. Raises HelipError where they are missing or not readable."""
    file = trained_weights(folder)
    try:
        return load_file(file)
    except (SafetensorError, TypeError, KeyError) as error:
        raise HelipError(f"{file}: not readable ({error}); it must hold float32 or float16 weights: train it again") from None
