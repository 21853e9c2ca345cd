"""CPU-seconds of one thread per unit of work, stage by stage, which docs/explanation/scale.md multiplies.

Load disturbs CPU time less than a stopwatch.

Weights are random (the arithmetic is the same); images are real where HELIP_DATA has them, else rendered.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from helip.config import GeneratedCorpus, MiningSpec, ShardCorpus
from helip.data.build import build_corpus
from helip.data.corpus import Corpus


def cpu_seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def corpus(folder: Path) -> tuple[Corpus, float]:
    """A corpus to work on, and the CPU-seconds that indexing a pair of it took."""
    real = Path(os.environ.get("HELIP_DATA", "")) / "flickr8k/pairs"
    if real.is_dir() and os.environ.get("HELIP_DATA"):
        declaration = ShardCorpus(path=str(real))
    else:
        build_corpus(GeneratedCorpus(size=2000, image_size=128), folder / "rendered")
        declaration = ShardCorpus(path=str(folder / "rendered/shards"))
    spent = cpu_seconds(lambda: build_corpus(declaration, folder / "corpus"))
    made = Corpus.open(folder / "corpus")
    return made, spent / len(made)


def units(folder: Path) -> Iterator[tuple[str, str, float]]:
    """(stage, unit, CPU-seconds a unit)."""
    made, indexing = corpus(folder)
    yield "index (images of 128 x 128)", "pair", indexing
    yield "fingerprint (128 x 128)", "image", fingerprints(made)
    yield "near-duplicates, 10,000 items", "million pairs", near_duplicates(1_000_000)
    yield "encode, DINO ViT-S/8 at 224", "image", encode_image()
    yield "encode, all-mpnet-base-v2's size", "caption", encode_caption()
    for size in (20_000, 50_000):
        yield f"mine HPM, {size:,} pairs, k 50", "million compared", mining(size)
    for model in ("RN50", "ViT-B-32", "ViT-B-16"):
        yield f"train CLIP {model} at 224", "pair", training(model)
        yield f"evaluate {model} at 224", "image", evaluation(model)


def fingerprints(made: Corpus, images: int = 1000) -> float:
    from helip.contamination.fingerprints import of_bytes

    return cpu_seconds(lambda: [of_bytes(made.image_bytes(i)) for i in range(images)]) / images


def near_duplicates(size: int) -> float:
    from helip.contamination import FINGERPRINT
    from helip.contamination import near_duplicates as find

    rng = np.random.default_rng(0)
    items, samples = (rng.integers(0, 2**64, (n, 2), np.uint64).view(FINGERPRINT).ravel() for n in (10_000, size))
    return cpu_seconds(lambda: find(items, samples)) / (size / 1e6)


@torch.inference_mode()
def encode_image(batch: int = 4, batches: int = 3) -> float:
    import timm

    model = timm.create_model("vit_small_patch8_224.dino", pretrained=False, num_classes=0).eval()
    images = torch.randn(batch, 3, 224, 224)
    model(images)
    return cpu_seconds(lambda: [model(images) for _ in range(batches)]) / (batch * batches)


@torch.inference_mode()
def encode_caption(batch: int = 32, batches: int = 3, tokens: int = 16) -> float:
    from transformers import MPNetConfig, MPNetModel

    model = MPNetModel(MPNetConfig()).eval()
    ids = torch.randint(5, 30000, (batch, tokens))
    model(ids)
    return cpu_seconds(lambda: [model(ids) for _ in range(batches)]) / (batch * batches)


def mining(size: int) -> float:
    """Features with the shape of the web: a Zipf of concepts, 0.5 % of the pairs above tau or so."""
    from helip.mining import mine

    rng = np.random.default_rng(0)
    concept = np.minimum(rng.zipf(1.3, size), 2000)

    def features(width: int) -> np.ndarray:
        made = rng.standard_normal((2001, width))[concept] + 0.9 * rng.standard_normal((size, width))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    image, text, spec = features(384), features(768), MiningSpec(k=50)
    return cpu_seconds(lambda: mine(image, text, spec, workers=1)) / (size * size / 1e6)


def _pairs(model, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch, 3, 224, 224), torch.randint(1, 49000, (batch, model.context_length))


def training(name: str, batch: int = 8) -> float:
    import open_clip

    from helip.losses import clip_loss

    model = open_clip.create_model(name)
    images, tokens = _pairs(model, batch)

    def step() -> None:
        image_BD, text_BD, scale = model(images, tokens)
        clip_loss(image_BD, text_BD, scale).backward()

    step()
    return cpu_seconds(lambda: [step() for _ in range(2)]) / (2 * batch)


@torch.inference_mode()
def evaluation(name: str, batch: int = 8) -> float:
    import open_clip

    model = open_clip.create_model(name).eval()
    images, _ = _pairs(model, batch)
    model.encode_image(images)
    return cpu_seconds(lambda: [model.encode_image(images) for _ in range(2)]) / (2 * batch)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'stage':36} {'unit':18} {'CPU-ms':>10}")
    with tempfile.TemporaryDirectory() as place:
        for stage, unit, seconds in units(Path(place)):
            print(f"{stage:36} {unit:18} {1000 * seconds:10.3f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
