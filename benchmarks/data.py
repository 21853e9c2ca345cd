"""Random access with hard pairs against webdataset's sequential loader, on the same shards. Prints samples/s and their ratio.

    python benchmarks/data.py                              # 6,000 generated pairs of 128 x 128
    python benchmarks/data.py --shards "$HELIP_DATA/flickr8k/pairs" --workers 4

Both decode, crop and tokenise with the same functions and cache nothing: what differs is the order of reading, and who finds the
bytes. They take turns, a block of batches each; the ratio is the median over the blocks. Blocks start from a warm page cache unless
--cold drops it (as root).
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import open_clip
import torch
import webdataset

from helip.config import GeneratedCorpus, ShardCorpus
from helip.data.build import build_corpus
from helip.data.corpus import Corpus
from helip.training.augmentation import PER_VIEW, View, crop_and_flip, uniforms
from helip.training.batches import Rows, loading
from helip.training.sampler import Sampler

VIEW = View(crop_scale=(0.9, 1.0))


class RandomPairs:
    """50 random hard pairs for every target."""

    def __init__(self, size: int):
        self.noise = np.zeros(size, bool)
        self._ids = np.random.default_rng(0).integers(0, size, (size, 50), dtype=np.int32)

    def __len__(self) -> int:
        return len(self.noise)

    def hard(self, i: int) -> np.ndarray:
        return self._ids[i]


def random_access(corpus: Corpus, tokenize, a: argparse.Namespace, arm: str) -> Iterator:
    """Batches as a training reads them: half of each are hard pairs, from anywhere in the corpus."""
    sampler = Sampler(len(corpus), a.batch_size, seed=0, pairs=RandomPairs(len(corpus)), arm=arm)
    rows = Rows(corpus, tokenize, (a.size, a.size), (VIEW,))
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
    before = time.perf_counter()
    for _ in range(a.batches):
        next(batches)
    return a.batches * a.batch_size / (time.perf_counter() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", help="a folder of .tar shards; default: a generated corpus")
    parser.add_argument("--size", type=int, default=128, help="of the crops, pixels")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--batches", type=int, default=20, help="of a block; many more than workers read ahead")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each block")
    a = parser.parse_args()
    tokenize = open_clip.SimpleTokenizer(context_length=77)
    with tempfile.TemporaryDirectory() as scratch:
        declared = ShardCorpus(path=a.shards) if a.shards else GeneratedCorpus(size=6000, image_size=128, samples_per_shard=1000)
        corpus = build_corpus(declared, Path(scratch) / "corpus")
        readers = {
            "webdataset, sequential": lambda: sequential(corpus, tokenize, a),
            "ours, shuffled": lambda: random_access(corpus, tokenize, a, "control"),
            "ours, with hard pairs": lambda: random_access(corpus, tokenize, a, "helip"),
        }
        rates = {name: [] for name in readers}
        for block in range(a.blocks + 1):
            for name, make in readers.items():
                seen = rate(make, a)
                rates[name] += [seen] if block else []  # the first block warms the page cache
    print(f"{len(corpus)} samples of {a.shards or 'a generated corpus'}, {a.workers} workers, {'cold' if a.cold else 'warm'} page cache")
    for name, seen in rates.items():
        print(f"{name:24} {statistics.median(seen):9.0f} samples/s")
    for name in list(readers)[1:]:
        ratios = [x / y for x, y in zip(rates[name], rates["webdataset, sequential"], strict=True)]
        print(f"{name} / sequential: {statistics.median(ratios):.3f} (blocks {min(ratios):.2f} to {max(ratios):.2f}; wanted 0.95)")


if __name__ == "__main__":
    sys.exit(main())
