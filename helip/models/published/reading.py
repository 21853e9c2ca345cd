"""Published SLIP and DeCLIP checkpoints, opened without running anything that may be in them."""

from pathlib import Path

import torch
from torch import Tensor

from helip.errors import HelipError
from helip.models.weights import load_pickle

PLACES = ("state_dict", "model")  # where SLIP's and DeCLIP's files keep the weights


def read_weights(file: Path) -> dict[str, Tensor]:
    """Returns the weights of a published checkpoint as float32, by name, without the prefix of data-parallel training.

    Raises HelipError where the file is missing, broken, holds anything but tensors, plain values and argparse.Namespace, or has weights
    that are not finite.
    """
    saved = load_pickle(file, "download the published file again")
    weights = next((saved[place] for place in PLACES if isinstance(saved, dict) and place in saved), None)
    if not isinstance(weights, dict) or not weights or not all(isinstance(w, Tensor) for w in weights.values()):
        raise HelipError(f"{file}: holds no weights under {' or '.join(PLACES)}; give a checkpoint as SLIP or DeCLIP published it")
    for name, w in weights.items():
        if not torch.isfinite(w).all():
            raise HelipError(f"{file}: {name} is not finite; the checkpoint is of a training that failed, use an earlier one")
    return {str(name).removeprefix("module."): w.float() if w.is_floating_point() else w for name, w in weights.items()}
