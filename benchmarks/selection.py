"""Selection scores beside the matrix product that they are made of: seconds, pairs/s, share of the product's own rate, peak memory.

    python benchmarks/selection.py --n 20000 50000 --dim 512

s-CLIPLoss multiplies every pair with the others of its random batch, K times; CLIP score and NormSim are one pass. Peak memory is what
was allocated above the interpreter, its libraries and the mapped features.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _measuring import Memory, machine

from helip.selection.scores import clip_score, norm_sim, s_clip_loss, shuffles_needed

TARGETS = 5000  # images that stand for the target of NormSim


def unit_rows(count: int, dim: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((count, dim), np.float32)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def product_rate(rows: int, dim: int) -> float:
    """FLOP/s of float32 products of 1,024 rows with a whole batch, the shape that selection multiplies."""
    x, y = torch.randn(1024, dim), torch.randn(rows, dim)
    x @ y.T
    start, turns = time.perf_counter(), 5
    for _ in range(turns):
        x @ y.T
    return turns * 2 * 1024 * rows * dim / (time.perf_counter() - start)


def measured(score: str, image: np.ndarray, text: np.ndarray, a: argparse.Namespace) -> dict:
    N, D = image.shape
    batch = min(a.batch_size, N)
    work = {
        "clip_score": (lambda: clip_score(image, text), 2 * N * D),
        "s_clip_loss": (
            lambda: s_clip_loss(image, text, batch_size=batch, batches=a.batches),
            2 * N * batch * D * shuffles_needed(N, batch, a.batches),
        ),
        "norm_sim": (lambda: norm_sim(image, np.asarray(image[:TARGETS])), 2 * N * min(N, TARGETS) * D),
    }
    run, flops = work[score]
    memory, start = Memory(), time.perf_counter()
    run()
    took = time.perf_counter() - start
    row = {"score": score, "n": N, "dim": D, "batch": batch, "batches": shuffles_needed(N, batch, a.batches), "threads": a.threads}
    row |= {"seconds": round(took, 2), "pairs_per_second": round(N / took), "peak_mib": memory.peak}
    return row | {"share_of_product_rate": round(flops / took / product_rate(batch, D), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[20_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32_768)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    for count in a.n:
        with tempfile.TemporaryDirectory(prefix="helip-benchmark-") as folder:
            for seed, name in enumerate(("image", "text")):
                np.save(Path(folder) / f"{name}.npy", unit_rows(count, a.dim, seed))
            image, text = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in ("image", "text"))
            for score in ("clip_score", "s_clip_loss", "norm_sim"):
                print(json.dumps(measured(score, image, text, a) | machine()), flush=True)


if __name__ == "__main__":
    main()
