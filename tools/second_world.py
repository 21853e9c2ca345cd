"""The table of the second generated world, from what `make second-world` wrote into results/miniature2/contrasts.csv."""

import csv
from pathlib import Path

CONTRASTS = Path(__file__).parents[1] / "docs" / "results" / "second_world" / "contrasts.csv"
ARMS = {
    "HELIP, 15 % as outliers": "helip",
    "selection by s-CLIPLoss, 15 % dropped": "s_clip_loss",
    "selection by ridge (helip_plus 2)": "helip_plus",
    "true removal, the positive control": "true_removal",
    "ridge, over HELIP": "helip_plus_over_helip",
}
METRICS = {
    "text to image R@1": "flickr30k.retrieval.image_recall_at_1",
    "image to text R@1": "flickr30k.retrieval.text_recall_at_1",
    "concepts (ImageNet)": "imagenet.zeroshot.acc1",
    "species (CIFAR100)": "cifar100.zeroshot.acc1",
}


def second_world() -> str:
    """Returns the contrasts: gains over plain continued training in points, with 95 % intervals over trainings and test items."""
    with open(CONTRASTS, newline="") as file:
        rows = {(row["contrast"], row["metric"]): row for row in csv.DictReader(file)}
    lines = [f"| Points over plain continued training [95 %] | {' | '.join(METRICS)} |", "| --- |" + " --- |" * len(METRICS)]
    lines += [f"| {label} | {' | '.join(_points(rows[arm, metric]) for metric in METRICS.values())} |" for label, arm in ARMS.items()]
    return "\n".join(lines)


def _points(row: dict[str, str]) -> str:
    effect, low, high = (f"{float(row[key]):+.2f}".replace("-", "\u2212") for key in ("effect", "ci_low", "ci_high"))
    return f"{effect} [{low}, {high}]" + (" *" if float(row["p_holm"]) < 0.05 else "")
