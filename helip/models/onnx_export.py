"""A CLIP as two ONNX files, image.onnx and text.onnx, with towers.json: what goes in, what comes out and how an image is prepared."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from helip.errors import HelipError
from helip.io import write_json
from helip.models.architecture import ClipNetwork
from helip.models.hf_export import hf_tokenizer
from helip.models.layout import ONNX_CONFIG
from helip.models.loading import Clip
from helip.models.network import reason

OPSET = 17  # of ONNX: the first with layer normalisation
NEEDED = "format onnx needs the package onnx: pip install 'helip[export]'"
INPUTS = {"image": "pixels", "text": "tokens"}


class Tower(nn.Module):
    """One half of a model, whose output is of unit length."""

    def __init__(self, model: ClipNetwork, side: str):
        super().__init__()
        self.model, self.side = model, side

    def forward(self, batch: Tensor) -> Tensor:
        """Takes pixels [B, 3, H, W] or token ids [B, L] and returns features [B, D]."""
        encode = self.model.encode_image if self.side == "image" else self.model.encode_text
        features_BD: Tensor = encode(batch, normalize=True)
        return features_BD


def write_towers(folder: Path, clip: Clip, where: str) -> None:
    """Writes both towers, towers.json and the tokenizer's files into a folder that is there. Batches may have any size.

    Raises HelipError where the package onnx is not installed, or torch cannot export a tower.
    """
    examples = {"image": torch.zeros(2, 3, *clip.image_size), "text": clip.tokenize(["a cat", "a dog on a wall"])}
    for side, batch in examples.items():
        _export(Tower(clip.model.eval(), side), side, batch, folder / f"{side}.onnx", where)
    write_json(folder / ONNX_CONFIG, _described(clip))
    hf_tokenizer(clip).save_pretrained(folder)


def _export(tower: Tower, side: str, batch: Tensor, file: Path, where: str) -> None:
    names, fast = INPUTS[side], torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # ONNX has no such operator
    try:
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of constants in the trace, all of which depend on the image size alone
            torch.onnx.export(
                tower, (batch,), str(file), input_names=[names], output_names=["features"], opset_version=OPSET, dynamo=False,
                dynamic_axes={names: {0: "batch"}, "features": {0: "batch"}},
            )  # fmt: skip
    except Exception as error:  # torch's exporter raises many kinds
        if "onnx is not installed" in str(error):
            raise HelipError(NEEDED) from None
        remedy = "export it for open_clip"
        raise HelipError(f"{where}: torch does not export its {side} tower to ONNX ({reason(error)}); {remedy}") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _described(clip: Clip) -> dict[str, Any]:
    bias = getattr(clip.model, "logit_bias", None)
    return {
        "image": {"file": "image.onnx", "input": "pixels", "shape": ["batch", 3, *clip.image_size], "preprocess": clip.preprocess},
        "text": {"file": "text.onnx", "input": "tokens", "shape": ["batch", clip.tokenize.context_length], "type": "int64"},
        "output": "features, of unit length: their product is the cosine",
        "logit_scale": float(clip.model.logit_scale.detach().exp()),
        "logit_bias": None if bias is None else float(bias.detach()),
    }
