"""What `helip refine` does in one command, as a person does it with open_clip_train, numpy and CLIP benchmark's command.

A step is a function of the folder that holds `pairs/` (images), `pairs.csv` (filepath, title), `sets/{validation,test}` and `start`. As a
careful person would, it evaluates all models in one call of the command, which imports torch once; or else each in its own, as one does who
looks at a model when it is trained. One pass of features serves selection and mining. It neither looks for near-duplicates nor computes an
interval.
"""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

ARMS = ("control", "selected", "helip")
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
KEEP, K, TAU = 0.9, 50, 0.01


def refine(folder: Path, epochs: int, batch_size: int, more: list[str], at_once: bool) -> dict:
    """Returns the metrics of every model by set.

    more: further classifications in the wds layout, which stand beside the other sets. at_once: one call evaluates all models.
    """
    os.chdir(folder)
    rows = read("pairs.csv")
    image_ND, text_ND = features(rows)
    arms = {"control": rows, "selected": [rows[i] for i in best(image_ND, text_ND)], "helip": with_hard_pairs(rows, image_ND, text_ND)}
    for arm, chosen in arms.items():
        train(arm, (chosen * 2)[: len(rows)], epochs, batch_size)  # every arm takes as many steps
        for weight in WEIGHTS:
            mix(arm, weight)
    sweep = evaluated([f"{arm}-{weight}" for arm in ARMS for weight in WEIGHTS], ["validation"], "retrieval", at_once)
    best_mixed = [max((f"{arm}-{w}" for w in WEIGHTS), key=lambda name: recall(sweep[name]["validation"])) for arm in ARMS]
    models = ["start", *(f"{arm}-1.0" for arm in ARMS), *best_mixed]
    results = evaluated(list(dict.fromkeys(models)), ["validation", "test"], "retrieval", at_once)
    if more:
        for model, metrics in evaluated(list(dict.fromkeys(models)), more, "classification", at_once).items():
            results[model] |= metrics
    return results


def read(file: str) -> list[tuple[str, str]]:
    """Returns (image file, caption) rows."""
    with open(file, newline="") as table:
        return [(row["filepath"], row["title"]) for row in csv.DictReader(table)]


@torch.inference_mode()
def features(rows: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit features [N, D] of images and captions by the start."""
    model, _, transform = open_clip.create_model_and_transforms("local-dir:start")
    model.eval()
    tokenize = open_clip.get_tokenizer("local-dir:start")
    images, texts = [], []
    for begin in range(0, len(rows), 64):
        batch = rows[begin : begin + 64]
        images.append(model.encode_image(torch.stack([transform(Image.open(file)) for file, _ in batch]), normalize=True))
        texts.append(model.encode_text(tokenize([caption for _, caption in batch]), normalize=True))
    return torch.cat(images).numpy(), torch.cat(texts).numpy()


def best(image_ND: np.ndarray, text_ND: np.ndarray) -> np.ndarray:
    """Returns the rows that s-CLIPLoss (arXiv 2405.19547) ranks highest; so few pairs are one batch."""
    s_NN = image_ND @ text_ND.T / TAU
    normaliser_N = (np.logaddexp.reduce(s_NN, axis=1) + np.logaddexp.reduce(s_NN, axis=0)) / 2
    score_N = TAU * (np.diag(s_NN) - normaliser_N)
    return np.sort(np.argsort(-score_N, kind="stable")[: math.ceil(KEEP * len(score_N))])


def with_hard_pairs(rows: list[tuple[str, str]], image_ND: np.ndarray, text_ND: np.ndarray) -> list[tuple[str, str]]:
    """Returns targets and, after each, one of its K hard pairs: the largest products of both cosines."""
    product_NN = (image_ND @ image_ND.T) * (text_ND @ text_ND.T)
    np.fill_diagonal(product_NN, -np.inf)
    hard_NK = np.argpartition(-product_NN, K, axis=1)[:, :K]
    drawn = np.random.default_rng(0)
    order = drawn.permutation(len(rows))
    return [rows[j] for i in order for j in (i, drawn.choice(hard_NK[i]))]


def train(arm: str, rows: list[tuple[str, str]], epochs: int, batch_size: int) -> None:
    """Has open_clip_train's command train the start on the rows; writes an open_clip folder `ARM-1.0`."""
    with open(f"{arm}.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerows([("filepath", "title"), *rows])
    steps = epochs * (len(rows) // batch_size)
    arguments = {
        "train-data": f"{arm}.csv", "dataset-type": "csv", "csv-separator": ",", "csv-img-key": "filepath", "csv-caption-key": "title",
        "model": "local-dir:start", "name": arm, "logs": "logs", "epochs": epochs, "batch-size": batch_size, "lr": 1e-4, "wd": 0.1,
        "warmup": max(1, steps // 20), "grad-clip-norm": 1.0, "precision": "fp32", "workers": 0, "device": "cpu", "save-frequency": epochs,
    }  # fmt: skip
    command(
        [sys.executable, "-m", "open_clip_train.main", *(part for name, value in arguments.items() for part in (f"--{name}", str(value)))]
    )


def mix(arm: str, weight: float) -> None:
    """Writes the open_clip folder `ARM-WEIGHT`, that far from the start to the trained model."""
    saved = torch.load(next(Path("logs", arm, "checkpoints").glob("epoch_*.pt")), weights_only=True, map_location="cpu")["state_dict"]
    start = load_file("start/open_clip_model.safetensors")
    folder = Path(f"{arm}-{weight}")
    folder.mkdir()
    save_file({name: (1 - weight) * rows + weight * saved[name] for name, rows in start.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_bytes(Path("start/open_clip_config.json").read_bytes())


def evaluated(models: list[str], sets: list[str], kind: str, at_once: bool) -> dict[str, dict[str, dict[str, float]]]:
    """Returns CLIP benchmark's metrics by model and set."""
    if not at_once:
        return {name: metrics for model in models for name, metrics in evaluated([model], sets, kind, True).items()}
    task = {"retrieval": "zeroshot_retrieval", "classification": "zeroshot_classification"}[kind]
    program = str(Path(sys.executable).with_name("clip_benchmark"))
    command([
        sys.executable, program, "eval", "--dataset", *(f"wds/{name}" for name in sets), "--dataset_root", "sets/{dataset}", "--task", task,
        "--model", *(f"local-dir:{name}" for name in models), "--pretrained", "", "--output", "{model}.{dataset}.json", "--no_amp",
        "--num_workers", "0", "--batch_size", "128", "--recall_k", "1",
    ])  # fmt: skip
    return {model: {name: json.loads(Path(f"local-dir:{model}.{name}.json").read_text())["metrics"] for name in sets} for model in models}


def recall(metrics: dict[str, float]) -> float:
    """Returns the mean recall at 1 of both directions."""
    return (metrics["image_retrieval_recall@1"] + metrics["text_retrieval_recall@1"]) / 2


def command(line: list[str]) -> None:
    """Runs a command, and ends with its last words where it fails."""
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
