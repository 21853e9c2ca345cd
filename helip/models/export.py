"""A trained model as a folder that `open_clip.create_model_and_transforms("local-dir:...")` and `get_tokenizer` load, with its curve."""

import json
from pathlib import Path
from typing import Any

from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file
from torch import Tensor

from helip.io import atomic_folder, write_json
from helip.models import tokenizer
from helip.models.layout import ABOUT, CONFIG, CURVE, WEIGHTS, save_weights
from helip.models.loading import Clip
from helip.training.curve import Curve


def export(folder: Path, clip: Clip, weights: dict[str, Tensor], curve: Curve, about: dict[str, Any]) -> None:
    """Writes open_clip_model.safetensors, open_clip_config.json, curve.csv, train.json and tokenizer files; the folder appears whole."""
    with atomic_folder(folder) as temporary:
        save_weights(save_file, {name: w.detach().cpu().contiguous() for name, w in weights.items()}, temporary / WEIGHTS)
        size = clip.image_size[0] if clip.image_size[0] == clip.image_size[1] else clip.image_size
        said = {"model_cfg": clip.config, "preprocess_cfg": clip.preprocess | {"size": size}}
        (temporary / CONFIG).write_text(json.dumps(said, indent=1) + "\n")
        if clip.tokenizer_folder is not None:
            tokenizer.copy_files(clip.tokenizer_folder, temporary)
        elif isinstance(clip.tokenize, HFTokenizer):
            clip.tokenize.save_pretrained(temporary)
        curve.write(temporary / CURVE)
        write_json(temporary / ABOUT, about)
