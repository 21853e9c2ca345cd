"""Exact nearest neighbours in one modality: helip.selection.neighbours beside matrix products with top-k, on the same features.

    python benchmarks/agreement.py --n 50000 100000 --workers 1
    python benchmarks/agreement.py --image-features I.npy --text-features T.npy

`numpy` multiplies blocks of rows with the whole corpus and partitions the cosines; `torch` is the same with torch.topk, as the released
algorithm has it. `helip` finds the same neighbours with the mining engine, `faiss` approximately with an inverted file; their preparation
counts. Each runs in a process of its own with the same number of threads and reports CPU and wall seconds and the peak of its own memory.
The two products run on --share of the rows (their work is the same for every row) and are scaled; `product_cpu` is what the products
alone take. recall is of the neighbours that `numpy` finds in those rows.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from _measuring import Memory, add_options, in_a_process, write

METHODS = ("numpy", "torch", "helip", "faiss")
BLOCK = 600  # rows multiplied at a time, as in the released algorithm


def by_numpy(x: np.ndarray, k: int, rows: int) -> tuple[np.ndarray, float]:
    """(ids [rows, k], CPU seconds of the products)."""
    x, ids, spent = x.astype(np.float32), [], 0.0
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for start in range(0, rows, BLOCK):
        block, before = slice(start, min(start + BLOCK, rows)), time.process_time()
        cosines = x[block] @ x.T
        spent += time.process_time() - before
        cosines[np.arange(len(cosines)), np.arange(block.start, block.stop)] = -2
        np.negative(cosines, out=cosines)
        ids.append(np.argpartition(cosines, k, 1)[:, :k])
    return np.concatenate(ids), spent


def by_torch(x: np.ndarray, k: int, rows: int) -> tuple[np.ndarray, float]:
    import torch

    x, ids, spent = torch.nn.functional.normalize(torch.from_numpy(x).float(), dim=1), [], 0.0
    base = x.T.contiguous()
    for start in range(0, rows, BLOCK):
        before = time.process_time()
        cosines = x[start : min(start + BLOCK, rows)] @ base
        spent += time.process_time() - before
        cosines[torch.arange(len(cosines)), torch.arange(start, start + len(cosines))] = -2
        ids.append(cosines.topk(k, 1).indices)
    return torch.cat(ids).numpy(), spent


def one(a: argparse.Namespace) -> None:
    """A single measurement, as JSON on the last line of stdout."""
    import faiss  # noqa: F401  its start is not the algorithm's
    import torch

    from helip.selection.neighbours import nearest

    torch.set_num_threads(a.workers)
    x = np.load(a.image_features, mmap_mode="r")
    rows = max(BLOCK, int(len(x) * a.share)) if a.one in ("numpy", "torch") else len(x)
    timed, memory, wall, cpu = {}, Memory(), time.perf_counter(), time.process_time()
    match a.one:
        case "numpy" | "torch":
            ids, spent = (by_numpy if a.one == "numpy" else by_torch)(np.asarray(x), a.k, rows)
            timed["product_cpu"] = round(spent * len(x) / rows, 1)
        case name:
            near = nearest("image", x, a.k, memory=a.memory, workers=a.workers, approximate=name == "faiss")
            ids, timed["recall_measured_itself"] = near.ids, near.recall
    scale = len(x) / rows
    timed |= {"cpu": round((time.process_time() - cpu) * scale, 1), "wall": round((time.perf_counter() - wall) * scale, 1)}
    np.save(a.result, ids[: max(BLOCK, int(len(x) * a.share))])
    print(json.dumps(timed | {"peak_mib": memory.peak}))


def measured(method: str, features: Path, folder: Path, a: argparse.Namespace) -> tuple[dict, np.ndarray]:
    options = {"image-features": features, "k": a.k, "memory": a.memory, "share": a.share}
    return in_a_process(__file__, method, folder, a.workers, options)


def compare(label: str, files: dict[str, Path], folder: Path, a: argparse.Namespace) -> None:
    """A row for each modality and method, then the two modalities together."""
    together: dict[str, float] = {}
    for modality, features in files.items():
        shape, truth = np.load(features, mmap_mode="r").shape, None
        for method in a.methods:
            timed, ids = measured(method, features, folder, a)
            truth = ids if method == "numpy" else truth
            row = {
                "features": label,
                "modality": modality,
                "n": shape[0],
                "dim": shape[1],
                "k": a.k,
                "workers": a.workers,
                "method": method,
            }
            row |= timed
            if truth is not None:
                row["recall"] = round(float(np.mean([np.isin(t, i).mean() for t, i in zip(truth, ids, strict=True)])), 5)
            together[method] = together.get(method, 0) + timed["cpu"]
            write(row, a.out)
    ratios = {f"helip_faster_than_{m}": round(together[m] / together["helip"], 1) for m in together if m != "helip" and "helip" in together}
    write({"features": label, "n": shape[0], "modality": "both", "cpu": together, **ratios}, a.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[50_000])
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["numpy", "torch", "helip"])
    parser.add_argument("--memory", default="2GiB")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.1, help="of the rows that the two products run on")
    add_options(parser, METHODS)
    a = parser.parse_args()
    if a.one:
        one(a)
        return
    with tempfile.TemporaryDirectory(prefix="helip-benchmark-") as folder:
        folder = Path(folder)
        if a.image_features:
            compare(a.image_features.parent.name, {"image": a.image_features, "text": a.text_features}, folder, a)
            return
        from features import features

        from helip.selection.neighbours import centred

        for count in a.n:
            image, text = features(count)
            files = {"image": folder / "image_features.npy", "text": folder / "text_features.npy"}
            np.save(files["image"], centred(image))
            np.save(files["text"], text)
            compare("generated", files, folder, a)


if __name__ == "__main__":
    main()
