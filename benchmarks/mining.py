"""Mining side by side: the released algorithm, and helip.mining, on the same features in one run.

    python benchmarks/mining.py --n 20000 50000 --k 50 500            # CPU
    python benchmarks/mining.py --n 3000000 --k 500 --device cuda --methods helip --memory 32GiB
    python benchmarks/mining.py --image-features I.npy --text-features T.npy --k 50

Each method runs in a process of its own and reports wall and CPU seconds, preparation counted, and the peak of its own memory (what
the process allocated above the interpreter, its libraries and the mapped features). The ratio is of CPU seconds to those of `released`,
which a loaded machine distorts less than wall time. Recall is of the hard pairs that `released` finds. targets_run says
how many targets a row really ran where --released-share spares the rest. A sample of the miner's targets is compared with a float64
brute force: float32_ties are targets that differ because float32 cannot tell, true_differences all others.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _measuring import Memory, add_options, in_a_process, write
from exactness import against_float64

METHODS = ("released", "helip", "torch", "ivf")


def released(
    image: np.ndarray, text: np.ndarray, k: int, tau: float, device: str, share: float = 1.0, batch: int = 600
) -> tuple[np.ndarray, np.ndarray]:
    """The released algorithm with the paper's tau: for 600 targets at a time both modalities' cosines with the whole corpus in float32,
    what is not above tau zeroed, their product, topk. `share`: of the targets, the first ones; the work for each is the same."""
    import torch

    image, text = (torch.nn.functional.normalize(torch.from_numpy(np.array(x)).to(device).float(), dim=1) for x in (image, text))
    image_base, text_base = image.T.contiguous(), text.T.contiguous()
    scores, ids = [], []
    with torch.inference_mode():
        for start in range(0, int(len(image) * share), batch):
            rows = slice(start, start + batch)
            similarity = []
            for x, base in ((image, image_base), (text, text_base)):
                cosine = x[rows] @ base
                cosine[cosine <= tau] = 0
                similarity.append(cosine)
            product = similarity[0] * similarity[1]
            product[torch.arange(len(product)), torch.arange(start, start + len(product))] = 0
            best = product.topk(k, 1)
            scores.append(best.values.cpu())
            ids.append(best.indices.cpu())
    return torch.cat(ids).numpy().astype(np.int32), torch.cat(scores).numpy()


def ours(method: str, image: np.ndarray, text: np.ndarray, a: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    from helip.config import MiningSpec
    from helip.mining import mine
    from helip.mining.engines import compile as build

    if method == "torch":  # the kernel that needs no compiler
        build.library = lambda: None
    spec = MiningSpec(k=a.k[0], tau_image=a.tau, tau_text=a.tau, ivf_candidates=10 * a.k[0] if method == "ivf" else None)
    pairs = mine(image, text, spec, memory=a.memory, workers=a.workers, device=a.device)
    ids, scores = np.full((len(pairs), spec.k), -1, np.int32), np.zeros((len(pairs), spec.k), np.float32)
    ids[~pairs.noise], scores[~pairs.noise] = pairs.ids.reshape(-1, spec.k), pairs.scores_flat.reshape(-1, spec.k)
    return ids, scores


def one(a: argparse.Namespace) -> None:
    """A single measurement, as JSON on the last line of stdout."""
    import faiss  # noqa: F401  its start is not the algorithm's
    import torch

    import helip.mining.miner  # noqa: F401

    torch.set_num_threads(a.workers)
    image, text = np.load(a.image_features, mmap_mode="r"), np.load(a.text_features, mmap_mode="r")
    if a.device != "cpu":
        torch.cuda.init()
    memory, wall, cpu = Memory(), time.perf_counter(), time.process_time()
    run = (
        (lambda: released(image, text, a.k[0], a.tau, a.device, a.released_share))
        if a.one == "released"
        else (lambda: ours(a.one, image, text, a))
    )
    ids, scores = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if len(ids) < len(image):  # the work is the same for each target
        wall, cpu = wall * len(image) / len(ids), cpu * len(image) / len(ids)
    measurement = {
        "targets_run": len(ids),
        "wall": round(wall, 2),
        "cpu": round(cpu, 2),
        "peak_mib": memory.peak,
        "noise": float((scores[:, -1] <= 0).mean()),
    }
    if a.device != "cpu":
        measurement["gpu_peak_mib"] = torch.cuda.max_memory_allocated() >> 20
        measurement["share_of_gemm_rate"] = round(2 * len(image) ** 2 * image.shape[1] / wall / gemm_rate(), 3)
    np.save(a.result, ids)
    print(json.dumps(measurement))


def gemm_rate() -> float:
    """FLOP/s of a large float16 matrix product on this GPU."""
    import torch

    x = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    for _ in range(3):
        x @ x
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        x @ x
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - start)


def measured(method: str, k: int, image: Path, text: Path, folder: Path, a: argparse.Namespace) -> tuple[dict, np.ndarray]:
    options = {"k": k, "image-features": image, "text-features": text, "device": a.device, "memory": a.memory, "tau": a.tau}
    return in_a_process(__file__, method, folder, a.workers, options | {"released-share": a.released_share})


def recall(ids: np.ndarray, reference: np.ndarray) -> float | None:
    """Of the hard pairs that the reference finds, over up to 20,000 of its targets that are not noise; None: all are."""
    rows = np.random.default_rng(0).choice(len(reference), min(len(reference), 20_000), replace=False)
    shares = [np.isin(reference[r], ids[r]).mean() for r in rows if reference[r][-1] >= 0]
    return round(float(np.mean(shares)), 5) if shares else None


def compare(label: str, count: int, k: int, image: Path, text: Path, folder: Path, a: argparse.Namespace) -> None:
    base, reference = None, None
    for method in a.methods:
        row, ids = measured(method, k, image, text, folder, a)
        if method == "released":
            base = row
            reference = np.where(released_noise(image, text, ids, a.tau)[:, None], -1, ids)
        setting = {"features": label, "n": count, "k": k, "tau": a.tau, "method": method}
        row = setting | {"device": a.device, "workers": a.workers, "budget": a.memory} | row
        if base:
            row |= {"cpu_ratio": round(base["cpu"] / row["cpu"], 1), "wall_ratio": round(base["wall"] / row["wall"], 1)}
            row["recall"] = recall(ids, reference)
        if method in ("helip", "torch"):
            row |= against_float64(image, text, ids, a.tau)
        if a.device.startswith("cuda"):
            row["gpu"] = torch.cuda.get_device_name(a.device)
        write(row, a.out)


def released_noise(image: Path, text: Path, ids: np.ndarray, tau: float) -> np.ndarray:
    """Targets whose k-th pair does not count: topk fills their lists with zeros."""
    x, y = np.load(image, mmap_mode="r"), np.load(text, mmap_mode="r")
    out = np.empty(len(ids), bool)
    for i, last in enumerate(ids[:, -1]):
        cosine = [
            float(m[i].astype(np.float64) @ m[last] / np.linalg.norm(m[i].astype(float)) / np.linalg.norm(m[last].astype(float)))
            for m in (x, y)
        ]
        out[i] = min(cosine) <= tau or i == last
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[20_000, 50_000, 100_000])
    parser.add_argument("--k", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--tau", type=float, default=0.5, help="of both modalities")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["released", "helip", "torch", "ivf"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", default="2GiB")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument(
        "--released-share", type=float, default=1.0, help="run `released` on this share of the targets; its times are scaled"
    )
    add_options(parser, METHODS)
    a = parser.parse_args()
    if a.one:
        one(a)
        return
    with tempfile.TemporaryDirectory(prefix="helip-benchmark-") as folder:
        folder = Path(folder)
        if a.image_features:
            count = len(np.load(a.image_features, mmap_mode="r"))
            for k in a.k:
                compare(a.image_features.parent.name, count, k, a.image_features, a.text_features, folder, a)
            return
        from features import features

        for count in a.n:
            for name, values in zip(("image", "text"), features(count), strict=True):
                np.save(folder / f"{name}.npy", values)
            for k in a.k:
                compare("generated", count, k, folder / "image.npy", folder / "text.npy", folder, a)


if __name__ == "__main__":
    main()
