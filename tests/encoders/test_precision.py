"""In what a network computes: as declared on a GPU, in float32 on a CPU."""

import pytest
import torch

from helip.config import TimmEncoder
from helip.encoders.encoder import gpu_dtype
from helip.io import digest


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        ("cuda", "fp16", torch.float16), ("cuda:1", "bf16", torch.bfloat16), ("cuda", "fp32", None), ("cpu", "fp16", None),
    ],
)  # fmt: skip
def test_what_a_network_computes_in(device, precision, expected):
    assert gpu_dtype(device, precision) == expected


def test_another_precision_is_another_encoding():
    usual = TimmEncoder(model="vit_small_patch8_224.dino")
    assert digest(usual) == digest(usual.model_copy(update={"precision": "fp16"})) != digest(usual.model_copy(update={"precision": "fp32"}))
