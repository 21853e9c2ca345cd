"""Random access with hard pairs against webdataset's sequential loader, on the same shards. Prints samples/s and their ratio.

    python benchmarks/data.py                              # 6,000 generated pairs of 128 x 128
    python benchmarks/data.py --shards "$HELIP_DATA/flickr8k/pairs" --workers 4

Both decode, crop and tokenise with the same functions and cache nothing: what differs is the order of reading, and who finds the
bytes. They take turns, a block of batches each (benchmarks/_turns.py). Blocks start from a warm page cache unless --cold drops it (as
root).
"""

import argparse
import collections
import functools
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import open_clip
import torch
import webdataset
from _turns import Clock, RandomPairs, compare, rows, take_turns

from helip.config import GeneratedCorpus, ShardCorpus
from helip.data.build import build_corpus
from helip.data.corpus import Corpus
from helip.training.augmentation import PER_VIEW, View, crop_and_flip, uniforms
from helip.training.batches import PairDataset, loading
from helip.training.sampler import Sampler

VIEW = View(crop_scale=(0.9, 1.0))


def random_access(corpus: Corpus, tokenize, a: argparse.Namespace, arm: str) -> Iterator:
    """Batches as a training reads them: half of each are hard pairs, from anywhere in the corpus."""
    sampler = Sampler(len(corpus), a.batch_size, seed=0, pairs=RandomPairs(len(corpus)), arm=arm)
    rows = PairDataset(corpus, tokenize, (a.size, a.size), (VIEW,))
    return loading(rows, map(sampler, itertools.count()) if a.workers == 0 else Steps(sampler), a.workers, pin=False)


class Steps:
    """The sampler's batches without end, for worker processes."""

    def __init__(self, sampler: Sampler):
        self._sampler = sampler

    def __iter__(self) -> Iterator:
        return map(self._sampler, itertools.count())


class Collate:
    """webdataset's samples, (image, caption) -> the same tensors, made by the same calls for a batch at a time."""

    def __init__(self, tokenize, size: int):
        self._tokenize, self._size = tokenize, (size, size)

    def __call__(self, samples: list) -> tuple[torch.Tensor, torch.Tensor]:
        u_BU = uniforms(np.random.randint(0, 2**62, len(samples)), PER_VIEW)
        images = np.empty((len(samples), *self._size, 3), np.uint8)
        for row, (image, _) in enumerate(samples):
            images[row] = crop_and_flip(image, u_BU[row], self._size, VIEW)
        return torch.from_numpy(images), self._tokenize([caption for _, caption in samples])


def sequential(corpus: Corpus, tokenize, a: argparse.Namespace) -> Iterator:
    """webdataset's own loader, shards in order and no shuffle buffer: the most that sequential reading can give."""
    shards = [str(corpus.shard_path(i)) for i in range(len(corpus.manifest["shards"]))]
    dataset = webdataset.WebDataset(shards, shardshuffle=False, nodesplitter=None, empty_check=False).decode("pilrgb")
    collate = Collate(tokenize, a.size)
    dataset = dataset.to_tuple("jpg;png;webp;jpeg", "txt").batched(a.batch_size, collation_fn=collate, partial=False)
    loader = webdataset.WebLoader(dataset, batch_size=None, num_workers=min(a.workers, len(shards)), shuffle=False)
    return itertools.chain.from_iterable(itertools.repeat(loader))


def drop_page_cache() -> None:
    Path("/proc/sys/vm/drop_caches").write_text("1")


def rate(make: Callable[[], Iterator], a: argparse.Namespace) -> float:
    """Samples/s of a fresh loader after its first batch: nothing is read ahead while another one has its turn."""
    if a.cold:
        drop_page_cache()
    batches = make()
    next(batches)
    spent = Clock(a.workers)(lambda: collections.deque(itertools.islice(batches, a.batches), maxlen=0))
    return a.batches * a.batch_size / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", help="a folder of .tar shards; default: a generated corpus")
    parser.add_argument("--size", type=int, default=128, help="of the crops, pixels")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--batches", type=int, default=20, help="of a block; many more than workers read ahead")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each block")
    a = parser.parse_args()
    tokenize = open_clip.SimpleTokenizer(context_length=77)
    with tempfile.TemporaryDirectory() as scratch:
        declared = ShardCorpus(path=a.shards) if a.shards else GeneratedCorpus(size=1500, image_size=128, samples_per_shard=250)
        corpus = build_corpus(declared, Path(scratch) / "corpus")
        readers = {
            "webdataset, sequential": lambda: sequential(corpus, tokenize, a),
            "ours, shuffled": lambda: random_access(corpus, tokenize, a, "control"),
            "ours, with hard pairs": lambda: random_access(corpus, tokenize, a, "helip"),
        }
        contestants = {name: functools.partial(rate, make, a) for name, make in readers.items()}
        take_turns(contestants, 1)  # warms the page cache
        rates = take_turns(contestants, a.rounds)
    source, cache = a.shards or "a generated corpus", "cold" if a.cold else "warm"
    print(f"{len(corpus)} samples of {source}, {a.workers} workers, {cache} page cache, {Clock(a.workers).name}\n{rows(rates)}")
    for name in list(readers)[1:]:
        print(compare(rates, name, "webdataset, sequential", 0.95))


if __name__ == "__main__":
    sys.exit(main())
