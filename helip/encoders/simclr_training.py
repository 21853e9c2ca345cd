"""Training of the self-supervised encoder: two random views of each image must find one another in the batch."""

import csv
import math
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from helip.config import SelfSupervisedEncoder
from helip.encoders.simclr import Network, pixels
from helip.encoders.views import random_view
from helip.errors import HelipError
from helip.io import atomic_folder, declared, file_digest, provenance, write_json
from helip.losses.simclr import simclr_loss
from helip.progress import progress

HEAD = 64  # output width of the projection head, thrown away after training
WEIGHT_DECAY = 1e-4
WARMUP = 0.1  # share of the steps


class Images(Protocol):
    """What training needs of helip.data.corpus.Corpus."""

    digest: str

    def __len__(self) -> int: ...
    def image(self, i: int) -> Image.Image:
        """Returns the RGB image of sample i."""
        ...


def train(declaration: SelfSupervisedEncoder, corpus: Images, out: Path) -> None:
    """Trains on the corpus' images alone and writes out/{model.safetensors, encoder.json, curve.csv}, whole or not at all.

    On one thread the same seed gives the same bytes. The images lie in memory as uint8: 3 image_size^2 bytes each.
    """
    if len(corpus) < declaration.batch_size:
        raise HelipError(f"the encoder's batch_size {declaration.batch_size} is larger than the corpus ({len(corpus)} pairs); lower it")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(declaration.seed)
        network = Network(declaration.width, declaration.dim)
        head = nn.Sequential(nn.Linear(declaration.dim, declaration.dim), nn.ReLU(), nn.Linear(declaration.dim, HEAD))
    losses = _fit(network, head, _pixels(corpus, declaration.image_size), declaration)
    with atomic_folder(out) as folder:
        save_file(network.state_dict(), folder / "model.safetensors")
        with open(folder / "curve.csv", "w", newline="") as file:
            csv.writer(file).writerows([("step", "loss"), *enumerate((f"{loss:.6f}" for loss in losses), 1)])
        inputs = {"corpus": corpus.digest}
        weights = file_digest(folder / "model.safetensors")
        write_json(folder / "encoder.json", provenance(declaration, inputs, declared=declared(declaration), weights_digest=weights))


def _pixels(corpus: Images, size: int) -> Tensor:
    images_NCHW = torch.empty(len(corpus), 3, size, size, dtype=torch.uint8)
    for i in progress(range(len(corpus)), len(corpus), "reading", "images"):
        images_NCHW[i] = pixels(corpus.image(i), size)
    return images_NCHW


def _fit(network: Network, head: nn.Module, images_NCHW: Tensor, declaration: SelfSupervisedEncoder) -> list[float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = torch.channels_last
    model = nn.Sequential(network, head).to(device, memory_format=layout).train()  # type: ignore[call-overload]  # torch's types lack it
    generator = torch.Generator().manual_seed(declaration.seed)
    steps = max(1, round(declaration.epochs * (len(images_NCHW) // declaration.batch_size)))
    optimiser = torch.optim.AdamW(model.parameters(), declaration.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warm_cosine(step, steps))
    losses = []
    for ids in progress(_batches(len(images_NCHW), declaration.batch_size, steps, generator), steps, "SimCLR", "steps"):
        views = [random_view(images_NCHW[ids], generator) for _ in range(2)]
        # One pass over both views: batch normalisation must not tell them apart by their statistics.
        z_BD = normalize(model(torch.cat(views).to(device, memory_format=torch.channels_last)), dim=1)
        first_BD, second_BD = z_BD.chunk(2)
        loss = simclr_loss(first_BD, second_BD, declaration.temperature)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    model.to("cpu", memory_format=torch.contiguous_format).eval()
    if not math.isfinite(losses[-1]):
        raise HelipError(f"the encoder's training diverged (loss {losses[-1]}); lower its learning_rate")
    return losses


def _warm_cosine(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / (WARMUP * steps + 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def _batches(n: int, batch_size: int, steps: int, generator: torch.Generator):
    """`steps` batches of ids, each epoch a fresh order without its last part."""
    made = 0
    while made < steps:
        for ids in torch.randperm(n, generator=generator).split(batch_size):
            if len(ids) == batch_size and made < steps:
                made += 1
                yield ids
