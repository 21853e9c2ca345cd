"""A small self-supervised image encoder (SimCLR, arXiv 2002.05709), trained on the corpus whose pairs it will help to mine."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from helip.config import SelfSupervisedEncoder
from helip.encoders.encoder import Encoder, frozen, inference
from helip.errors import HelipError
from helip.io import declared, file_digest, read_json


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Network(nn.Module):
    """Five 3 x 3 convolutions with batch normalisation; average and maximum over the image, joined, projected to `dim`."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.trunk = nn.Sequential(
            _convolution(3, width, 2),
            _convolution(width, width, 1),
            _convolution(width, 2 * width, 2),
            _convolution(2 * width, 4 * width, 2),
            _convolution(4 * width, 4 * width, 1),
        )
        self.features = nn.Linear(8 * width, dim)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Takes float32 images [B, 3, S, S] in [-1, 1] and returns features [B, dim], not normalised."""
        maps_BCHW = self.trunk(images_BCHW)
        return self.features(torch.cat([maps_BCHW.mean((2, 3)), maps_BCHW.amax((2, 3))], 1))


def pixels(image: Image.Image, size: int) -> Tensor:
    """Returns an RGB image as uint8 [3, size, size]: shrunk until its shorter side fits, then cut at the centre."""
    if image.size != (size, size):
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1).copy())


def load(declaration: SelfSupervisedEncoder, folder: Path, device: str) -> Encoder:
    """Returns the encoder in `folder`, as the stage train_encoder wrote it. Raises HelipError where it is missing or another."""
    metadata = read_json(folder / "encoder.json")
    if metadata["declared"] != declared(declaration):
        raise HelipError(f"{folder}: was trained with other settings than are declared now; run the stage train_encoder again")
    network, weights = Network(declaration.width, declaration.dim), folder / "model.safetensors"
    try:
        network.load_state_dict(load_file(weights))
    except Exception as error:  # a missing, truncated or foreign file: safetensors and torch each raise their own
        reason = str(error).splitlines()[0]
        raise HelipError(f"{weights}: not the weights of this encoder ({reason}); run the stage train_encoder again") from error
    network = frozen(network, device)
    size = declaration.image_size
    return Encoder(
        modality="image",
        dim=declaration.dim,
        weights=file_digest(weights),
        preprocessing=f"shorter side to {size} (bicubic), centre {size} x {size}, [-1, 1]",
        embed=inference(lambda batch: network(batch.float().div(127.5).sub(1)), device),
        prepare=lambda image: pixels(image, size),
    )
