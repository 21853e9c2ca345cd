"""One evaluation job beside CLIP benchmark's own command: the same model, twelve sets and seven probes in the layouts of study `paper`.

    HELIP_DATA=... python benchmarks/evaluate.py --out evaluate.jsonl
    python benchmarks/evaluate.py --tiny --sets cifar10 flickr30k        # a minute: a model of one layer

Both run as processes of their own; CPU seconds are those of process and children, which a loaded machine distorts less than wall time.
Zero-shot and retrieval are compared number by number: the definitions agree. Probes are not: CLIP benchmark trains its own by AdamW on
a GPU's terms, the paper's is L-BFGS over 45 strengths; their CPU is counted all the same.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path += [str(Path(__file__).parent / "rehearsal")]

from here import photographs
from sets import LAYOUTS

THEIR_NAMES = {
    "imagenet": "imagenet1k", "food101": "food101", "cars": "cars", "aircraft": "fgvc_aircraft", "mscoco": "mscoco_captions",
    "flickr30k": "flickr30k", "cifar10": "wds/cifar10", "cifar100": "wds/cifar100", "caltech101": "wds/caltech101",
    "sun397": "wds/sun397", "cub": "wds/cub", "flowers102": "wds/flowers102",
}  # fmt: skip
PROBES = ("caltech101", "food101", "sun397", "flowers102", "cub", "cars", "aircraft")
RETRIEVAL = ("mscoco", "flickr30k")
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "layers": 1, "width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}


def write_model(folder: Path, tiny: bool) -> None:
    """Writes an open_clip folder of ViT-B-32 with random weights, or of one layer."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = TINY if tiny else open_clip.get_model_config("ViT-B-32")
    folder.mkdir()
    save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))


def task_of(name: str) -> str:
    """Returns our name of a set's zero-shot task."""
    return "retrieval" if name in RETRIEVAL else "zeroshot"


def ours(model: Path, sets: Path, names: list[str], probes: list[str], out: Path) -> None:
    """Evaluates as one job of the graph does: features once for all tasks, kept in a cache."""
    from helip.evaluation.extraction import Extractor
    from helip.evaluation.model import load
    from helip.evaluation.run import result_of
    from helip.evaluation.sets import EvaluationSet

    extractor, metrics = Extractor(load(f"local-dir:{model}", "cpu"), out.parent / "cache", 0), {}
    for name in names:
        kind = "retrieval" if name in RETRIEVAL else "classification"
        data = EvaluationSet(name, kind, THEIR_NAMES[name], sets / name)
        metrics[name] = result_of(extractor, data, task_of(name)).metrics
        if name in probes:
            result_of(extractor, data, "probe")
    out.write_text(json.dumps(metrics))


def theirs(model: Path, sets: Path, names: list[str], probes: list[str], out: Path) -> None:
    """Runs CLIP benchmark's command for each set and task, as its own users do."""
    metrics = {}
    for name in names:
        tasks = ["zeroshot_retrieval" if name in RETRIEVAL else "zeroshot_classification", *(["linear_probe"] if name in probes else [])]
        for task in tasks:
            file = out.with_name(f"{name}-{task}.json")
            arguments = [
                "eval", "--dataset", THEIR_NAMES[name], "--dataset_root", str(sets / name), "--task", task, "--model", f"local-dir:{model}",
                "--pretrained", "", "--output", str(file), "--no_amp", "--num_workers", "0", "--batch_size", "128",
                "--recall_k", "1", "5", "10",
                "--feature_root", str(out.parent / "features"),
            ]  # fmt: skip
            program = str(Path(sys.executable).with_name("clip_benchmark"))
            done = subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"clip_benchmark {' '.join(arguments)}\n{done.stderr[-2000:]}")
            if task != "linear_probe":
                metrics[name] = json.loads(file.read_text())["metrics"]
    out.write_text(json.dumps(metrics))


def agreed(name: str, mine: dict, other: dict, items: int) -> float:
    """Returns the largest difference of a set's numbers, in items."""
    names = {key: key.replace("_retrieval_recall@", "_recall_at_") for key in other}
    return max(abs(mine[names[key]] / 100 - value) * items for key, value in other.items() if names[key] in mine)


def timed(which: str, a: argparse.Namespace, model: Path, sets: Path, out: Path) -> float:
    """Returns the CPU seconds of one contestant in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    places = [str(model), str(sets), str(out)]
    chosen = ["--sets", *a.sets, "--probes", *a.probes]
    subprocess.run(
        [sys.executable, __file__, "--contestant", which, *places, *chosen], check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Makes model and sets, runs both, prints the ratio and the agreement, and adds a line to --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument("--probes", nargs="*", choices=PROBES, default=list(PROBES))
    parser.add_argument("--tiny", action="store_true", help="a model of one layer")
    parser.add_argument("--out", type=Path, help="a JSON line is added to this file")
    parser.add_argument("--contestant", nargs=4, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.contestant:
        which, *places = a.contestant
        {"ours": ours, "theirs": theirs}[which](Path(places[0]), Path(places[1]), a.sets, a.probes, Path(places[2]))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photos = photographs(Path(os.environ.get("HELIP_DATA", "none")))
        write_model(folder / "model", a.tiny)
        for name in a.sets:
            LAYOUTS[name](folder / "sets" / name, photos)
        seconds, metrics = {}, {}
        for which in ("ours", "theirs"):
            (folder / which).mkdir()
            seconds[which] = timed(which, a, folder / "model", folder / "sets", folder / which / "result.json")
            metrics[which] = json.loads((folder / which / "result.json").read_text())
        furthest = {name: agreed(name, metrics["ours"][name], metrics["theirs"][name], 120) for name in a.sets}
        row = {
            "cpu_seconds": seconds,
            "ratio": seconds["theirs"] / seconds["ours"],
            "items_apart": furthest,
            "sets": a.sets,
            "probes": a.probes,
        }
        from helip.io import provenance

        row |= {name: value for name, value in provenance(None).items() if name in ("machine", "written", "commit")} | {"tiny": a.tiny}
    print(json.dumps(row, indent=1))
    print(f"CLIP benchmark's command takes {row['ratio']:.1f} times the CPU seconds (wanted at least 3)")
    if a.out:
        with open(a.out, "a") as file:
            file.write(f"{json.dumps(row)}\n")


if __name__ == "__main__":
    main()
