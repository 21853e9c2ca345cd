"""One evaluation job beside CLIP benchmark's own command: the same model, twelve sets and seven probes in its layouts, sizes cut.

    HELIP_DATA=... python benchmarks/evaluate.py --out evaluate.jsonl                    # minutes
    python benchmarks/evaluate.py --sets cifar10 flickr30k --probes                      # one
    python benchmarks/evaluate.py --one-by-one                                           # their command once for each set and task

Sizes: 100 images a split (120 of retrieval, five captions each), the first 40 class names, all templates; a model of three narrow layers
with random weights, so that what counts is what stays on the CPU where a GPU computes: reading, tokenising, Python, probes. CLIP benchmark
runs as a careful user runs it, one command for each task over all its sets; or, --one-by-one, as its README's examples do, one for each
set and task. CPU seconds are those of a process and its children, which a loaded machine distorts less than wall time.

Zero-shot and retrieval are compared number by number: the definitions agree. Probes are not: CLIP benchmark's is AdamW with a search
over weight decay, the paper's L-BFGS over 45 strengths; their CPU counts all the same. It runs its probe on a GPU alone; here `.cuda()`
does nothing and the check for a GPU is off, which is all that is changed.
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

import _measuring
from here import photographs
from sets import COUNT, LAYOUTS, Photograph, wds

THEIR_NAMES = {"imagenet": "imagenet1k", "aircraft": "fgvc_aircraft", "flowers102": "flowers", "mscoco": "mscoco_captions"}
PROBES = ("caltech101", "food101", "sun397", "flowers102", "cub", "cars", "aircraft")
RETRIEVAL = ("mscoco", "flickr30k")
ITEMS, CLASSES = 100, 40
MODEL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 224, "patch_size": 32, "layers": 3, "width": 128, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 3},
}
ON_A_CPU = (
    "import sys, torch; same = lambda self, *_, **__: self; torch.nn.Module.cuda = torch.Tensor.cuda = same; "
    "from clip_benchmark.cli import main; sys.exit(main())"
)


def write_model(folder: Path) -> None:
    """Writes an open_clip folder of the model with random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir()
    save_file(open_clip.CLIP(**MODEL).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": {}}))


def write_set(name: str, root: Path, photos: list[Photograph]) -> None:
    """Writes a retrieval set in its own layout, a labelled one in wds layout; no two sets begin with the same photograph."""
    first = 30 * list(LAYOUTS).index(name) % len(photos)
    photos = photos[first:] + photos[:first]
    if name in RETRIEVAL:
        LAYOUTS[name](root, photos)
        return
    wds(THEIR_NAMES.get(name, name), root, photos, ("train", "val", "test"), ITEMS, CLASSES)


def benchmark_name(name: str) -> str:
    """Returns what CLIP benchmark calls a set."""
    return THEIR_NAMES.get(name, name) if name in RETRIEVAL else f"wds/{name}"


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
    data = {
        name: EvaluationSet(name, "retrieval" if name in RETRIEVAL else "classification", benchmark_name(name), sets / name)
        for name in names
    }
    for name in names:
        metrics[name] = result_of(extractor, data[name], task_of(name)).metrics
    before_probes = cpu_seconds(resource.RUSAGE_SELF)
    for name in probes:
        result_of(extractor, data[name], "probe")
    parts = {"sets": before_probes, "probes": cpu_seconds(resource.RUSAGE_SELF) - before_probes}
    out.write_text(json.dumps({"metrics": metrics, "parts": parts}))


def theirs(model: Path, sets: Path, names: list[str], probes: list[str], out: Path, one_by_one: bool) -> None:
    """Runs CLIP benchmark's command for each task over all its sets, or for each task and set."""
    for name in RETRIEVAL:  # it finds a set by its own name for it
        if (sets / name).exists() and not (sets / THEIR_NAMES.get(name, name)).exists():
            (sets / THEIR_NAMES[name]).symlink_to(sets / name)
    tasks = {
        "zeroshot_classification": [n for n in names if n not in RETRIEVAL],
        "zeroshot_retrieval": [n for n in names if n in RETRIEVAL],
        "linear_probe": [n for n in names if n in probes],
    }
    parts = dict.fromkeys(("sets", "probes"), 0.0)
    for task, chosen in [(task, part) for task, every in tasks.items() for part in ([[n] for n in every] if one_by_one else [every])]:
        if not chosen:
            continue
        before = cpu_seconds(resource.RUSAGE_CHILDREN)
        arguments = [
            "eval", "--dataset", *map(benchmark_name, chosen), "--dataset_root", f"{sets}/{{dataset}}", "--task", task,
            "--model", f"local-dir:{model}", "--pretrained", "", "--output", f"{out.parent}/{{dataset}}-{{task}}.json", "--no_amp",
            "--num_workers", "0", "--batch_size", "128", "--recall_k", "1", "5", "10", "--feature_root", str(out.parent / "features"),
            *(["--val_split", "val"] if task == "linear_probe" else []),
        ]  # fmt: skip
        command = [sys.executable, "-O", "-c", ON_A_CPU, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"clip_benchmark {' '.join(arguments)}\n{done.stderr[-3000:]}")
        parts["probes" if task == "linear_probe" else "sets"] += cpu_seconds(resource.RUSAGE_CHILDREN) - before
    metrics = {}
    for task in ("zeroshot_classification", "zeroshot_retrieval"):
        for name in tasks[task]:
            file = out.parent / f"{benchmark_name(name).removeprefix('wds/')}-{task}.json"
            metrics[name] = json.loads(file.read_text())["metrics"]
    out.write_text(json.dumps({"metrics": metrics, "parts": parts}))


def agreed(name: str, mine: dict, other: dict) -> float:
    """Returns the largest difference of a set's numbers, in items (of retrieval, in captions)."""
    names = {key: key.replace("_retrieval_recall@", "_recall_at_") for key in other}
    if not (shared := [key for key in other if names[key] in mine]):
        raise SystemExit(f"{name}: {sorted(mine)} and {sorted(other)} have no number in common")
    items = 5 * COUNT if name in RETRIEVAL else ITEMS
    return max(abs(mine[names[key]] / 100 - other[key]) * items for key in shared)


def cpu_seconds(whose: int) -> float:
    """Returns the CPU seconds of this process or of its ended children, user and system."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def timed(which: str, a: argparse.Namespace, model: Path, sets: Path, out: Path) -> float:
    """Returns the CPU seconds of one contestant in a process of its own."""
    before = cpu_seconds(resource.RUSAGE_CHILDREN)
    places = [str(model), str(sets), str(out)]
    how = ["--one-by-one"] if a.one_by_one else []
    command = [sys.executable, __file__, "--contestant", which, *places, "--sets", *a.sets, "--probes", *a.probes, *how]
    subprocess.run(command, check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    return cpu_seconds(resource.RUSAGE_CHILDREN) - before


def main() -> None:
    """Makes model and sets, runs both, prints the ratio and the agreement, and adds a line to --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument("--probes", nargs="*", choices=PROBES, default=list(PROBES))
    parser.add_argument("--one-by-one", action="store_true", help="CLIP benchmark's command once for each set and task")
    parser.add_argument("--out", type=Path, help="a JSON line is added to this file")
    parser.add_argument("--contestant", nargs=4, help=argparse.SUPPRESS)
    a = parser.parse_args()
    a.probes = [name for name in a.probes if name in a.sets]
    if a.contestant:
        which, *places = a.contestant
        arguments = [Path(places[0]), Path(places[1]), a.sets, a.probes, Path(places[2])]
        ours(*arguments) if which == "ours" else theirs(*arguments, a.one_by_one)
        return
    _measuring.keep_bytecode("clip_benchmark.cli", "helip.evaluation.run", "sklearn.linear_model")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photos = photographs(Path(os.environ.get("HELIP_DATA", "none")))
        write_model(folder / "model")
        for name in a.sets:
            write_set(name, folder / "sets" / name, photos)
        seconds, results = {}, {}
        for which in ("ours", "theirs"):
            (folder / which).mkdir()
            seconds[which] = round(timed(which, a, folder / "model", folder / "sets", folder / which / "result.json"), 2)
            results[which] = json.loads((folder / which / "result.json").read_text())
            print(f"{which}: {seconds[which]} CPU seconds", flush=True)
        from helip.io import provenance

        metrics = {which: one["metrics"] for which, one in results.items()}
        row = {
            "cpu_seconds": seconds, "ratio": seconds["theirs"] / seconds["ours"], "sets": a.sets, "probes": a.probes,
            "commands": "one by one" if a.one_by_one else "by task",
            "parts": {which: {name: round(value, 2) for name, value in one["parts"].items()} for which, one in results.items()},
            "items_apart": {name: agreed(name, metrics["ours"][name], metrics["theirs"][name]) for name in a.sets},
            "commit": provenance(None)["commit"],
        }  # fmt: skip
    _measuring.write(row, a.out)
    print(f"CLIP benchmark's command, {row['commands']}, takes {row['ratio']:.1f} times the CPU seconds (wanted at least 3)")


if __name__ == "__main__":
    main()
