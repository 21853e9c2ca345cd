"""Weights as a safetensors file."""

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError


def save_weights(save_file: Callable[[dict, Path], None], weights: dict, path: Path) -> None:
    """save_file: safetensors' own, of torch or of NumPy. OSError where the system does not let it write."""
    try:
        save_file(weights, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(0o644)  # safetensors makes it the owner's alone
