"""Our loop against open_clip_train's on the same model and shards, and HELIP against our plain CLIP. Prints samples/s and ratios.

    python benchmarks/train.py                                      # a small model on a generated world, this CPU
    python benchmarks/train.py --full-captions                      # captions that fill the context
    python benchmarks/train.py --model ViT-B-32 --precision bf16 --batch-size 512 --image-size 224 --workers 12   # a GPU

The contestants take turns, a block of steps each (benchmarks/_turns.py). Nobody's images are cached. open_clip gets its shuffle buffer
filled before the clock starts.
"""

import argparse
import contextlib
import functools
import io
import itertools
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import open_clip
import torch
import webdataset
from _turns import Clock, RandomPairs, compare, rows, take_turns
from open_clip_train import data as open_clip_data
from open_clip_train.params import parse_args
from open_clip_train.train import train_one_epoch

from helip.config import GeneratedCorpus, Refinement, ShardCorpus
from helip.data.build import build_corpus
from helip.data.corpus import Corpus
from helip.data.tars import write
from helip.models import loading as models
from helip.training.distributed import DistributedContext
from helip.training.job import TrainJob
from helip.training.loop import Trainer
from helip.training.optimisation import optimiser

SMALL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 32, "layers": 4, "width": 128, "patch_size": 4, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}
FULL = 77  # words, each of which is at least a token
Block = Callable[[int], None]  # takes that many steps


def ours(arm: str, corpus: Corpus, config: dict, a: argparse.Namespace, world: DistributedContext, folder: Path) -> tuple[Block, Trainer]:
    """Our loop: every step as `helip train` takes it, curve and digest of draws included."""
    tokenize = open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    clip = models.Clip(models.build(config), config, models.preprocess_of({}), tokenize)
    recipe = Refinement(arm=arm, steps=100_000, batch_size=a.batch_size, learning_rate=1e-4, precision=a.precision)
    job = TrainJob(recipe, clip, corpus, 0, arm, folder / arm, folder / arm, pairs=RandomPairs(len(corpus)), workers=a.workers)
    training = Trainer(job, world)
    batches = training.batches(cache_bytes=0)

    def block(steps: int) -> None:
        for _ in range(steps):
            before = time.monotonic()
            training.advance(*next(batches), before)
        training.curve.read()

    return block, training


class Endless:
    """A dataloader that goes on where it was: `num_batches` of it at a time, as train_one_epoch asks for them."""

    def __init__(self, loader, batches: int):
        self._batches = itertools.chain.from_iterable(itertools.repeat(loader))
        self.num_batches, self.num_samples = batches, loader.num_samples

    def __iter__(self) -> Iterator:
        return itertools.islice(self._batches, self.num_batches)


def open_clips(corpus: Corpus, config: dict, a: argparse.Namespace, device: torch.device, folder: Path) -> Block:
    """open_clip_train.train.train_one_epoch on its own webdataset pipeline, AdamW as its main() makes it."""
    (folder / "contestant.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    precision = {"fp32": "fp32", "bf16": "amp_bf16", "fp16": "amp"}[a.precision]
    shards = "::".join(str(corpus.shard_path(i)) for i in range(len(corpus.manifest["shards"])))
    args = parse_args([
        "--train-data", shards, "--train-num-samples", str(len(corpus)), "--dataset-type", "webdataset", "--dataset-resampled",
        "--batch-size", str(a.batch_size), "--workers", str(a.workers), "--precision", precision, "--model", "contestant",
        "--log-every-n-steps", "1000000",
    ])  # fmt: skip
    args.device, args.rank, args.local_rank, args.world_size, args.distributed, args.distill = str(device), 0, 0, 1, False, False
    args.skip_scheduler, args.wandb, args.tensorboard = True, False, False
    model, transform, _ = open_clip.create_model_and_transforms("contestant", precision=precision, device=device, output_dict=True)
    # open_clip_train 3.3 trips over the end-of-shard marks of webdataset 1.x.
    open_clip_data.tar_file_expander = functools.partial(webdataset.tariterators.tar_file_expander, eof_value=None)
    data = open_clip_data.get_data(args, (transform, transform), tokenizer=open_clip.get_tokenizer("contestant"))
    loader = data["train"].dataloader
    scaler = torch.amp.GradScaler(device.type) if a.precision == "fp16" else None
    adamw = optimiser([model], Refinement(steps=1, batch_size=a.batch_size, learning_rate=1e-4))
    loss = open_clip.ClipLoss(cache_labels=True)
    endless = Endless(loader, 0)

    def block(steps: int) -> None:
        endless.num_batches = steps
        data["train"].dataloader = endless
        with contextlib.redirect_stderr(io.StringIO()):
            train_one_epoch(model, data, loss, 0, adamw, scaler, None, None, args)

    return block


def loss_share(training: Trainer, step_seconds: float, clock: Clock) -> float:
    """Of the step: the objective and its gradient by the features, towers left out."""
    batch, inputs = next(training.batches(cache_bytes=0))
    with torch.no_grad():
        features = training.objective.encode(training.model, inputs)

    def block(steps: int) -> None:
        for _ in range(steps):
            leaves = {name: rows.float().requires_grad_() for name, rows in features.items()}
            training.objective.loss(leaves, training.model.logit_scale.exp(), batch)[0].backward()

    block(3)
    return clock(lambda: block(20)) / 20 / step_seconds


def with_full_captions(corpus: Corpus, folder: Path) -> Corpus:
    """Returns a corpus of the same images, the words of whose captions are said again until no token of the context is padding."""
    folder.mkdir()
    for k in range(0, len(corpus), 500):
        rows = range(k, min(k + 500, len(corpus)))
        texts = {i: " ".join([corpus.caption(i)] * (FULL // len(corpus.caption(i).split()) + 1)) for i in rows}
        write(
            folder / f"{k:06}.tar", [f for i in rows for f in ((f"{i:06}.png", corpus.image_bytes(i)), (f"{i:06}.txt", texts[i].encode()))]
        )
    return build_corpus(ShardCorpus(path=str(folder)), folder / "corpus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="a corpus folder; default: 4,000 generated pairs")
    parser.add_argument("--model", help="an open_clip architecture; default: a small ViT")
    parser.add_argument("--image-size", type=int, default=32, help="of the generated images")
    parser.add_argument("--full-captions", action="store_true", help="captions as long as the context, which leave no padding out")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--precision", choices=["fp32", "fp16", "bf16"], default="fp32")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=10, help="of a block")
    parser.add_argument("--rounds", type=int, default=15)
    a = parser.parse_args()
    logging.disable(logging.WARNING)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = models.named(a.model) if a.model else SMALL
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        generated = GeneratedCorpus(size=4000, image_size=a.image_size, samples_per_shard=500)
        corpus = Corpus.open(a.corpus) if a.corpus else build_corpus(generated, folder / "corpus")
        if a.full_captions:
            corpus = with_full_captions(corpus, folder / "full")
        plain, _ = ours("control", corpus, config, a, DistributedContext(device=device), folder)
        helip, with_pairs = ours("helip", corpus, config, a, DistributedContext(device=device), folder)
        blocks = {"open_clip_train": open_clips(corpus, config, a, device, folder), "ours, CLIP": plain, "ours, HELIP": helip}
        for block in blocks.values():
            block(5)  # warm
        clock = Clock(a.workers, device.type == "cuda")

        def rate(block: Block) -> float:
            return a.steps * a.batch_size / clock(lambda: block(a.steps))

        rates = take_turns({name: functools.partial(rate, block) for name, block in blocks.items()}, a.rounds)
        where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        captions = "captions that fill the context" if a.full_captions else "captions as they are"
        print(f"{a.model or 'small ViT'}, batch {a.batch_size}, {a.precision}, {a.workers} workers, {where}, torch {torch.__version__}")
        print(f"{clock.name}, {a.rounds} rounds of {a.steps} steps, {captions}\n{rows(rates)}")
        print(compare(rates, "ours, CLIP", "open_clip_train", 1.0))
        print(compare(rates, "ours, HELIP", "ours, CLIP", 0.98))
        step = a.batch_size / statistics.median(rates["ours, HELIP"])
        print(f"share of the loss in HELIP's step: {100 * loss_share(with_pairs, step, clock):.1f} %")


if __name__ == "__main__":
    sys.exit(main())
