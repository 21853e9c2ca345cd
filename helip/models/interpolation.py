"""A refined model and its start in one: weights on the line between them (WiSE-FT, arXiv 2109.01903). Numpy only: it takes a moment."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from helip.errors import HelipError
from helip.io import atomic_folder, write_json
from helip.models.layout import ABOUT, CONFIG, CURVE, EMPTY_CURVE, TOKENIZER, WEIGHTS, save_weights

Weights = dict[str, np.ndarray]


def interpolated(start: Weights, refined: Weights, weight: float) -> Weights:
    """(1 - weight) start + weight refined of every floating-point entry, computed in float32 or better; counters are the refined model's.

    HelipError where the two are not of one architecture.
    """
    if {n: w.shape for n, w in start.items()} != {n: w.shape for n, w in refined.items()}:
        raise HelipError("the start and the refined model differ in architecture: give the checkpoint that the model was refined from")
    mixed = {name: _between(start[name], new, weight) for name, new in refined.items() if new.dtype.kind == "f"}
    return refined | mixed


def _between(old: np.ndarray, new: np.ndarray, weight: float) -> np.ndarray:
    kind = np.result_type(new.dtype, np.float32)
    return np.asarray((1 - weight) * old.astype(kind) + weight * new.astype(kind), new.dtype)  # of a single number too


def write(start: Weights, refined: Path, weight: float, out: Path, about: dict[str, Any]) -> None:
    """The model folder `out`: files of a training, with the refined folder's config and tokenizer and a curve without steps."""
    mixed = interpolated(start, weights_of(refined), weight)
    with atomic_folder(out) as folder:
        save_weights(save_file, mixed, folder / WEIGHTS)
        for name in (CONFIG, *TOKENIZER):
            if (refined / name).is_file():
                shutil.copyfile(refined / name, folder / name)
        (folder / CURVE).write_text(EMPTY_CURVE)
        write_json(folder / ABOUT, about)


def trained_weights(folder: Path) -> Path:
    """The safetensors file of a trained model's folder. Raises HelipError where it is not there."""
    file = folder / WEIGHTS
    if not file.is_file():
        raise HelipError(f"{file}: not found; train it first")
    return file


def weights_of(folder: Path) -> Weights:
    """The weights that a model folder holds. Raises HelipError where they are missing or not readable."""
    file = trained_weights(folder)
    try:
        return load_file(file)
    except (SafetensorError, TypeError, KeyError) as error:
        raise HelipError(f"{file}: not readable ({error}); it must hold float32 or float16 weights: train it again") from None
