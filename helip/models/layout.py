"""The files of a model folder, as open_clip's local-dir layout names them, and ours beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

Format = Literal["open_clip", "transformers", "onnx"]  # in which a model is exported
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
TRANSFORMERS_CONFIG = "config.json"  # of transformers
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"  # the second since transformers 5, which wraps the first
ONNX_CONFIG = "towers.json"
CARD = "README.md"  # where the hub looks for a model's card
OTHER_WEIGHTS = (  # as open_clip looks for them, and one name of ours
    "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth", "open_clip_model.pt",
    "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
CURVE, METADATA = "curve.csv", "train.json"
ORIGIN = "import.json"  # of what was imported or exported: where it came from
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model")
SCALARS = ("logit_scale", "logit_bias")  # weights of shape [] or [1], which say the same
EMPTY_CURVE = "step,loss\n"  # of a model that took no step here


def weights_file(folder: Path) -> Path | None:
    """Returns the file that a folder's weights are read from, the first that is there; None where there is none."""
    return next((folder / name for name in (WEIGHTS, *OTHER_WEIGHTS) if (folder / name).exists()), None)


def save_weights(save_file: Callable[[dict[str, Any], Path], None], weights: dict[str, Any], path: Path) -> None:
    """Writes weights as a safetensors file. save_file: that of torch or of NumPy. Raises OSError where it cannot be written."""
    from safetensors import SafetensorError

    try:
        save_file(weights, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(0o644)  # safetensors makes it the owner's alone
