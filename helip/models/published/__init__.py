"""Published SLIP and DeCLIP checkpoints as folders that `open_clip.create_model_and_transforms("local-dir:...")` loads."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from helip.errors import HelipError
from helip.io import atomic_folder, check_replaceable, file_digest, provenance, write_json
from helip.models.layout import CONFIG, ORIGIN, WEIGHTS, save_weights
from helip.models.published.declip import is_declip, published_declip
from helip.models.published.layout import Published, check
from helip.models.published.reading import read_weights
from helip.models.published.slip import is_slip, published_slip

__all__ = ["Published", "import_checkpoint", "read_published"]


def read_published(file: Path) -> Published:
    """Returns a published file in open_clip's terms; the names of its weights tell its kind. Raises HelipError where it is neither SLIP's
    nor DeCLIP's.
    """
    weights = read_weights(file)
    try:
        if is_slip(weights):
            published = published_slip(weights, str(file))
        elif is_declip(weights):
            published = published_declip(weights, str(file))
        else:
            remedy = "open_clip's own files need no import: write NAME@FILE"
            raise HelipError(f"{file}: its weights are named neither as SLIP's nor as DeCLIP's, which alone are imported; {remedy}")
    except KeyError as missing:
        raise HelipError(f"{file}: has no weights {missing}; the checkpoint is incomplete, download it again") from None
    check(published, str(file))
    return published


def import_checkpoint(file: Path, folder: Path) -> Published:
    """Writes open_clip_model.safetensors, open_clip_config.json and import.json (where it came from); the folder appears whole.

    HelipError for a file that `read_published` refuses and for a folder that holds anything but an earlier import.
    """
    check_replaceable(folder, ORIGIN, file)
    published = read_published(file)
    configs = {"model_cfg": published.model_cfg, "preprocess_cfg": published.preprocess_cfg}
    with atomic_folder(folder) as temporary:
        contiguous = {name: w.clone(memory_format=torch.contiguous_format) for name, w in published.weights.items()}
        save_weights(save_file, contiguous, temporary / WEIGHTS)
        (temporary / CONFIG).write_text(json.dumps(configs, indent=1) + "\n")
        write_json(temporary / ORIGIN, provenance({"layout": published.layout} | configs, inputs={file.name: file_digest(file)}))
    return published
