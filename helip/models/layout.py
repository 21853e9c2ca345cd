"""The files of a model folder, as open_clip's local-dir layout names them, and ours beside them."""

from collections.abc import Callable
from pathlib import Path

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
PICKLES = ("open_clip_pytorch_model.bin", "open_clip_model.pt", "pytorch_model.bin")  # weights that are no safetensors
CURVE, ABOUT = "curve.csv", "train.json"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model")
EMPTY_CURVE = "step,loss\n"  # of a model that took no step here


def weights_file(folder: Path) -> Path | None:
    """Which file a folder's weights are read from: safetensors before pickles; None where there is neither."""
    return next((folder / name for name in (WEIGHTS, *PICKLES) if (folder / name).exists()), None)


def save_weights(save_file: Callable[[dict, Path], None], weights: dict, path: Path) -> None:
    """Weights as a safetensors file. save_file: safetensors' own, of torch or of NumPy. Raises OSError where it cannot be written."""
    from safetensors import SafetensorError

    try:
        save_file(weights, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(0o644)  # safetensors makes it the owner's alone
