"""A trained model as a folder that `open_clip.create_model_and_transforms("local-dir:...")` and `get_tokenizer` load, with its curve.

That of a model on frozen trunks (helip/models/frozen.py) has the same files and is opened by `helip` alone.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file
from torch import Tensor

from helip.io import atomic_folder, write_json
from helip.models import tokenizer
from helip.models.architecture import other_gelu
from helip.models.layout import CONFIG, CURVE, METADATA, WEIGHTS, save_weights
from helip.models.loading import Clip

log = logging.getLogger(__name__)


def export(folder: Path, clip: Clip, weights: dict[str, Tensor], write_curve: Callable[[Path], None], metadata: dict[str, Any]) -> None:
    """Writes a model folder, which appears whole: weights, config, tokenizer files, curve.csv by `write_curve`, and `metadata` as
    train.json.
    """
    with atomic_folder(folder) as temporary:
        write_model(temporary, clip, weights)
        write_curve(temporary / CURVE)
        write_json(temporary / METADATA, metadata)


def write_model(folder: Path, clip: Clip, weights: dict[str, Tensor]) -> None:
    """Writes what open_clip reads, and nothing else, into a folder that is there: weights, config and tokenizer files."""
    save_weights(save_file, {name: w.detach().cpu().contiguous() for name, w in weights.items()}, folder / WEIGHTS)
    size = clip.image_size[0] if clip.image_size[0] == clip.image_size[1] else clip.image_size
    if form := other_gelu(clip.config["vision_cfg"]):
        name = "tanh" if form == "tanh" else "plain"
        log.warning(
            "the image tower has GELU's %s form: helip and an export for transformers keep it, open_clip gives other features", name
        )
    configs = {"model_cfg": clip.config, "preprocess_cfg": clip.preprocess | {"size": size}}
    (folder / CONFIG).write_text(json.dumps(configs, indent=1) + "\n")
    if clip.tokenizer_folder is not None:
        tokenizer.copy_files(clip.tokenizer_folder, folder)
    elif isinstance(clip.tokenize, HFTokenizer):
        clip.tokenize.save_pretrained(folder)
