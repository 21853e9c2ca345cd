"""The tables of docs/results/questions.md, one for each question of the study `questions`, from its committed results files."""

import csv
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "questions"
CONTRASTS = FOLDER / "contrasts.csv"  # results/questions/contrasts.csv, as `make questions` wrote it
JUDGED = FOLDER / "table24.csv"
METRICS = {"text to image R@1": "flickr30k.retrieval.image_recall_at_1", "CIFAR-10": "cifar10.zeroshot.acc1"}
CONTROL = ("true removal, the positive control", "true_removal")
HELIP = ("HELIP, by EfficientNet-Lite0 and MiniLM among all pairs", "helip")


def _three(what: str, prefix: str) -> tuple[tuple[str, str], ...]:
    """The rows of one size, or of one set of trained weights, that has controls of its own."""
    label, contrast = CONTROL
    return (f"{what}: {label}", f"{prefix}{contrast}"), (f"{what}: HELIP", f"{prefix}helip"), (f"{what}: ridge", f"{prefix}ridge")


# question -> (row, contrast)
ROWS = {
    "encoders": (
        CONTROL,
        HELIP,
        ("HELIP, by the start's own towers", "mined_by_clip"),
        ("HELIP, by SimCLR and MiniLM", "mined_by_simclr"),
        ("HELIP, by EfficientNet-Lite0 and MiniLM's first layer", "mined_by_layer1"),
        ("EfficientNet-Lite0 and MiniLM, over the start's own towers", "encoders_over_clip"),
        ("EfficientNet-Lite0 and MiniLM, over SimCLR and MiniLM", "encoders_over_simclr"),
        ("EfficientNet-Lite0 and MiniLM, over MiniLM's first layer", "encoders_over_layer1"),
    ),
    "pools": (
        CONTROL,
        HELIP,
        ("HELIP, a pool of half", "pool_half"),
        ("HELIP, a pool of a quarter", "pool_quarter"),
        ("HELIP, a pool of an eighth", "pool_eighth"),
        ("all pairs, over a pool of half", "all_over_pool_half"),
        ("all pairs, over a pool of a quarter", "all_over_pool_quarter"),
        ("all pairs, over a pool of an eighth", "all_over_pool_eighth"),
    ),
    "curation": (
        CONTROL,
        ("HELIP: noise rule and hard pairs", "helip"),
        ("the noise rule alone", "noise_rule_alone"),
        ("hard pairs alone, nothing left out", "hard_pairs_alone"),
        ("the ridge selection alone", "ridge"),
        ("hard pairs on top of the noise rule, over the noise rule", "hard_pairs_on_noise_rule"),
        ("hard pairs on top of ridge, over ridge", "hard_pairs_on_ridge"),
        ("interaction of hard pairs and the noise rule", "interaction_noise_rule"),
        ("interaction of hard pairs and ridge", "interaction_ridge"),
    ),
    "scale": (
        *_three("an eighth", "eighth_"),
        *_three("a quarter", "quarter_"),
        *_three("half", "half_"),
        *_three("all", ""),
        ("true removal, all beyond an eighth (interaction)", "scale_true_removal"),
        ("HELIP, all beyond an eighth (interaction)", "scale_helip"),
        ("ridge, all beyond an eighth (interaction)", "scale_ridge"),
    ),
    "weights": (
        *_three("all of the heads", ""),
        *_three("last layers", "last_"),
        *_three("rank 8", "lora_"),
        ("all of the heads over last layers, plain continued training", "all_over_last"),
        ("all of the heads over rank 8, plain continued training", "all_over_lora"),
        ("all of the heads over last layers, ridge", "ridge_all_over_last"),
        ("all of the heads over rank 8, ridge", "ridge_all_over_lora"),
    ),
    "settings": (
        CONTROL,
        ("ridge", "ridge"),
        ("true removal over ridge", "truth_over_ridge"),
        ("equal captions masked, over ridge", "duplicates_on_ridge"),
        ("GloFND's thresholds, over ridge", "glofnd_on_ridge"),
        ("moments filled first (TuneCLIP), over ridge", "moments_on_ridge"),
        ("hard pairs, over ridge", "hard_pairs_on_ridge"),
    ),
}
# table of judgements -> its columns of table24.csv, as they are headed
COLUMNS = {
    "judged_encoders": {"auc": "AUC of the noise rule", "precision": "precision", "recall": "recall"},
    "judged_pools": {"megabytes": "features in memory, MB", "recalled": "exact hard pairs found, %", "auc": "AUC of the noise rule"},
    "judged_wording": {"similarity": "captions alike, %", "likely_matches": "likely matches, %"},
}
POOLED = ("EfficientNet-Lite0 and MiniLM, all pairs", "EfficientNet-Lite0 and MiniLM, a pool")
KEPT = {  # which rows of table24.csv a table shows
    "judged_encoders": lambda method: not method.startswith((POOLED[1], "random")),
    "judged_pools": lambda method: method.startswith(POOLED),
    "judged_wording": lambda method: True,
}


def rows_of(file: Path) -> list[dict[str, str]]:
    """Returns the rows of a results file, by column name."""
    with open(file, newline="") as opened:
        return list(csv.DictReader(opened))


def contrasts(question: str) -> str:
    """Returns the primary contrasts of one question: points with 95 % intervals over trainings and test items."""
    rows = {(row["contrast"], row["metric"]): row for row in rows_of(CONTRASTS)}
    lines = [f"| | {' | '.join(METRICS)} | starts |", "| --- | --- | --- | --- |"]
    for label, contrast in ROWS[question]:
        cells = [rows[contrast, metric] for metric in METRICS.values()]
        lines.append(f"| {label} | {' | '.join(map(_points, cells))} | {_starts(cells[0])} |")
    return "\n".join(lines)


def judged(table: str) -> str:
    """Returns judgements of pair sets: means of three draws with 95 % intervals over photographs, or over draws."""
    columns, by_method = COLUMNS[table], {}
    for row in rows_of(JUDGED):
        if KEPT[table](row["method"]):
            by_method.setdefault(row["method"], {})[row["column"]] = row
    lines = [f"| mined by | {' | '.join(columns.values())} |", "| --- |" + " --- |" * len(columns)]
    for method, cells in by_method.items():
        lines.append(f"| {method} | {' | '.join(_judgement(cells[key]) for key in columns)} |")
    return "\n".join(lines)


def _points(row: dict[str, str]) -> str:
    if not row["ci_low"]:
        return row["note"]
    effect, low, high = (f"{float(row[key]):+.2f}".replace("-", "\u2212") for key in ("effect", "ci_low", "ci_high"))
    return f"{effect} [{low}, {high}]" + (" \\*" if float(row["p_holm"]) < 0.05 else "")


def _starts(row: dict[str, str]) -> str:
    return str(int(row["n_seeds"]) * int(row["pairs"])) if row["n_seeds"] else "0"


def _judgement(row: dict[str, str]) -> str:
    if not row["value"]:
        return "-"
    value, low, high = (float(row[key] or "nan") for key in ("value", "ci_low", "ci_high"))
    return f"{value:.1f}" if low == high or low != low else f"{value:.1f} [{low:.1f}, {high:.1f}]"


# Those that the page shows: a table comes onto it when the study has a row of it.
TABLES = {name: partial(contrasts, name) for name in ROWS} | {name: partial(judged, name) for name in COLUMNS}
