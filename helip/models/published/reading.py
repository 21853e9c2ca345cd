"""Opening a downloaded checkpoint without running anything that may be in it."""

import argparse
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from helip.errors import HelipError

ALLOWED: list[Any] = [argparse.Namespace]  # SLIP's files keep their command line; nothing but tensors, plain values and this is opened
PLACES = ("state_dict", "model")  # where SLIP's and DeCLIP's files keep the weights


def read_weights(file: Path) -> dict[str, Tensor]:
    """Returns the weights of a published checkpoint as float32, by name, without the prefix of data-parallel training.

    Raises HelipError where the file is missing, broken, holds anything but tensors, plain values and argparse.Namespace, or has weights
    that are not finite.
    """
    saved = _load(file)
    weights = next((saved[place] for place in PLACES if isinstance(saved, dict) and place in saved), None)
    if not isinstance(weights, dict) or not weights or not all(isinstance(w, Tensor) for w in weights.values()):
        raise HelipError(f"{file}: holds no weights under {' or '.join(PLACES)}; give a checkpoint as SLIP or DeCLIP published it")
    for name, w in weights.items():
        if not torch.isfinite(w).all():
            raise HelipError(f"{file}: {name} is not finite; the checkpoint is of a training that failed, use an earlier one")
    return {str(name).removeprefix("module."): w.float() if w.is_floating_point() else w for name, w in weights.items()}


def _load(file: Path) -> Any:
    try:
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise HelipError(f"{file}: cannot be read ({error.strerror or error}); correct the path") from None
    except Exception as error:  # a damaged file fails in many ways
        refused = isinstance(error, UnpicklingError) and re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
        if refused:
            why = f"refused, it holds {refused.group(1)}, which could run code on opening"
        else:
            why = "is no whole PyTorch checkpoint of tensors and plain values alone"
        raise HelipError(f"{file}: {why}; download the published file again") from None
