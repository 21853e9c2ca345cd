"""`helip refine` in all its usual arms beside the same by hand: open_clip_train, numpy and CLIP benchmark's command. Prints CPU seconds.

    HELIP_DATA=... python benchmarks/refine.py --out refine.jsonl        # 1,000 photographs, a small ViT
    HELIP_DATA=... python benchmarks/refine.py --pairs 200 --epochs 1    # a look
    HELIP_DATA=... python benchmarks/refine.py --one-by-one              # by hand, each model is evaluated by a command of its own

Both run as processes of their own on the same photographs, start, held-out images, arms, steps and sets; their CPU seconds are those of
all their processes, which a loaded machine distorts less than wall time. Both must agree about the start. By hand there are no intervals,
no search for near-duplicates and no page.
"""

import argparse
import csv
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import _measuring

from helip import warm
from helip.data.tars import samples, write

PATCHES = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}
CLASSIFICATION = 500  # photographs of CIFAR-10


def write_start(folder: Path) -> None:
    """Writes an open_clip folder with random weights: what a step costs does not depend on them."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir()
    save_file(open_clip.CLIP(**PATCHES).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": PATCHES, "preprocess_cfg": {}}))


def write_photographs(data: Path, count: int, folder: Path) -> None:
    """Writes `count` photographs with their first captions as one tar, as a user may have them."""
    folder.mkdir()
    shards = sorted((data / "flickr8k" / "pairs").glob("*.tar"))
    pairs = itertools.islice(itertools.chain.from_iterable(samples(s, frozenset({"jpg", "txt"})) for s in shards), count)
    write(folder / "pairs.tar", [(f"{key}.{f.extension}", f.data) for key, files in pairs for f in files if f.data is not None])


def write_classification(data: Path, folder: Path) -> None:
    """Writes the first images of CIFAR-10's test set in the wds layout."""
    source = data / "cifar10"
    (folder / "test").mkdir(parents=True)
    for name in ("classnames.txt", "zeroshot_classification_templates.txt"):
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "test" / "nshards.txt").write_text("1")
    items = itertools.islice(samples(source / "test" / "0.tar", frozenset({"webp", "png", "jpg", "cls"})), CLASSIFICATION)
    write(folder / "test" / "0.tar", [(f"{key}.{f.extension}", f.data) for key, files in items for f in files if f.data is not None])


def write_by_hand(mine: Path, folder: Path) -> None:
    """Writes what a person begins with: images and a CSV of what helip trains on, and the held-out ones as CLIP benchmark's sets."""
    from helip.data.corpus import Corpus
    from helip.data.parts import held_out

    results = mine / "results" / "own" / "corpora"
    whole, train = Corpus.open(results / "whole"), Corpus.open(results / "train")
    for part in ("validation", "test"):
        target = folder / "sets" / part / "test"
        target.mkdir(parents=True)
        (target.parent / "dataset_type.txt").write_text("retrieval")
        (target / "nshards.txt").write_text("1")
        rows = [group[0] for group in held_out(train, part)]
        write(target / "0.tar", [
            file for i, row in enumerate(rows)
            for file in ((f"{i:06}.jpg", whole.image_bytes(row)), (f"{i:06}.txt", "\n".join(whole.captions(row)).encode()))
        ])  # fmt: skip
    (folder / "pairs").mkdir()
    with open(folder / "pairs.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("filepath", "title"))
        for i in range(len(train)):
            (folder / "pairs" / f"{i}.jpg").write_bytes(train.image_bytes(i))
            table.writerow((f"pairs/{i}.jpg", train.caption(i)))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Returns the CPU seconds of all processes that `work` started and waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(folder: Path, a: argparse.Namespace) -> dict[str, float]:
    """Runs `helip refine` to its page; returns the start's R@1 on the test set, by direction."""
    line = [
        sys.executable, "-m", "helip", "refine", "--model", "start", "--data", "pairs", "--out", "mine", "--evaluate", "sets/cifar10",
        "--cores", "1", "--gpus", "0", "--epochs", str(a.epochs), "--batch-size", str(a.batch_size),
    ]  # fmt: skip
    subprocess.run(line, check=True, cwd=folder, stdout=sys.stderr)
    rows = json.loads((folder / "mine/results/own/answer/answer.json").read_text())["rows"]
    return {"text": rows[0]["to_text"], "image": rows[0]["to_image"]}


def by_hand(folder: Path, a: argparse.Namespace) -> dict[str, float]:
    """Does the same by hand, in a process of its own; returns the start's R@1 as `ours` does."""
    arguments = [str(folder), "--epochs", str(a.epochs), "--batch-size", str(a.batch_size)]
    how = ["--one-by-one"] if a.one_by_one else []
    subprocess.run([sys.executable, __file__, "--by-hand", *arguments, *how], check=True)
    start = json.loads((folder / "by_hand.json").read_text())["start"]["test"]
    return {side: 100 * start[f"{side}_retrieval_recall@1"] for side in ("text", "image")}


def main() -> None:
    """Runs both, prints the ratio and how far the two are apart about the start, and adds a line to --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--out", type=Path, help="a JSON line is added to this file")
    parser.add_argument("--one-by-one", action="store_true", help="by hand, evaluate each model in a command of its own, not all in one")
    parser.add_argument("--by-hand", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.by_hand:
        import _by_hand

        results = _by_hand.refine(a.by_hand, a.epochs, a.batch_size, ["cifar10"], not a.one_by_one)
        (a.by_hand / "by_hand.json").write_text(json.dumps(results))
        return
    data = Path(os.environ.get("HELIP_DATA", "none"))
    if not (data / "flickr8k" / "pairs").is_dir():
        raise SystemExit("HELIP_DATA: set it to a folder with flickr8k/pairs and cifar10 (docs/howto/your_data.md)")
    _measuring.keep_bytecode("open_clip_train.main", "clip_benchmark.cli", *warm.IMPORTED)
    with tempfile.TemporaryDirectory() as place:
        folder, recalls, seconds = Path(place), {}, {}
        write_start(folder / "start")
        write_photographs(data, a.pairs, folder / "pairs")
        write_classification(data, folder / "sets" / "cifar10")
        seconds["helip refine"] = cpu_seconds(lambda: recalls.update(ours=ours(folder, a)))
        hand = folder / "hand"
        write_by_hand(folder / "mine", hand)
        for name in ("start", "sets/cifar10"):
            (hand / name).symlink_to(folder / name)
        seconds["by hand"] = cpu_seconds(lambda: recalls.update(by_hand=by_hand(hand, a)))
        from helip.io import provenance

        commit = provenance(None)["commit"]
    row = {"cpu_seconds": seconds, "ratio": seconds["by hand"] / seconds["helip refine"], "start_recall_at_1": recalls}
    how = "in commands of their own" if a.one_by_one else "in one command"
    row |= {"models_evaluated": how, "pairs": a.pairs, "epochs": a.epochs, "batch_size": a.batch_size, "commit": commit}
    _measuring.write(row, a.out)
    apart = max(abs(recalls["ours"][side] - recalls["by_hand"][side]) for side in ("text", "image"))
    print(f"by hand, models evaluated {how}, takes {row['ratio']:.1f} times the CPU seconds (wanted at least 2)")
    print(f"R@1 of the start is {apart:.2f} points apart")


if __name__ == "__main__":
    main()
