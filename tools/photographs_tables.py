"""The tables of the page of photographs, from the CSV files beside it: what `make flickr8k` wrote into results/flickr8k."""

import csv
import functools
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "photographs"
CONTRASTS, AGAIN = FOLDER / "contrasts.csv", FOLDER / "again.csv"  # of the study, and of its repetition from other starts
KINDS = {
    "foreign15": "15 % foreign",
    "near15": "15 %, half near",
    "foreign30": "30 % foreign",
    "near30": "30 %, half near",
    "clean": "none",
}
ARMS = (
    ("HELIP, 15 % as outliers", "helip"),
    ("selection by neighbour agreement", "agreement"),
    ("selection by ridge (helip_plus 2)", "ridge"),
    ("true removal, the positive control", "true_removal"),
    ("ridge, over HELIP", "ridge_over_helip"),
    ("hard pairs on top of ridge, over ridge", "hard_pairs_on_ridge"),
)
OF_KIND = {"foreign15": "table12", "near15": "table13", "foreign30": "table14", "near30": "table15", "clean": "table16"}
EVERYWHERE = ("cleaned by the paper's rule", "s-CLIPLoss", "CLIP score")  # arms of every kind, beside those of the contrasts
PRIMARY = {"text to image R@1": "flickr30k.retrieval.image_recall_at_1", "CIFAR-10": "cifar10.zeroshot.acc1"}
ALL = PRIMARY | {"image to text R@1": "flickr30k.retrieval.text_recall_at_1"}
COLUMNS = {"text to image R@1": "t2i_r1", "image to text R@1": "i2t_r1", "CIFAR-10": "cifar10"}  # of the tables
ASKED = ("HELIP", "neighbour agreement", "helip_plus 2: ridge", "bound: true removal of the swapped", "HELIP on ridge")  # by a contrast


def photographs(file: Path = CONTRASTS) -> str:
    """Returns the primary contrasts of the study flickr8k: gains in points with 95 % intervals over trainings and test items."""
    rows = contrasts(file)
    lines = [f"| Captions swapped | {' | '.join(KINDS.values())} |", "| --- |" + " --- |" * len(KINDS)]
    for metric, name in PRIMARY.items():
        lines.append(f"| **{metric}**, points over plain continued training |" + " |" * len(KINDS))
        for label, arm in ARMS:
            cells = [rows.get((f"{kind}_{arm}", name)) for kind in KINDS]
            lines.append(f"| {label} | {' | '.join(points(row, 'effect', 'ci') if row else 'not asked' for row in cells)} |")
    return "\n".join(lines)


def foreign_arms() -> str:
    """Returns the arms that no contrast asks about, run where 15 % of the captions are foreign: means over its three draws."""
    rows = arms("foreign15")
    methods = [method for method in dict.fromkeys(method for method, _ in rows) if method not in (*ASKED, "control")]
    lines = [f"| Points over plain continued training | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    for method in methods:
        lines.append(f"| {method} | {' | '.join(points(rows[method, key], 'delta', 'delta_ci') for key in COLUMNS.values())} |")
    return "\n".join(lines)


def everywhere() -> str:
    """Returns the arms of every kind of swaps that no contrast asks about: means over three draws, or of the captions as they are."""
    of_kind = {kind: arms(kind) for kind in KINDS}
    lines = [f"| Captions swapped | {' | '.join(KINDS[kind] for kind in of_kind)} |", "| --- |" + " --- |" * len(of_kind)]
    for metric in PRIMARY:
        lines.append(f"| **{metric}**, points over plain continued training |" + " |" * len(of_kind))
        for method in EVERYWHERE:
            cells = [points(rows[method, COLUMNS[metric]], "delta", "delta_ci") for rows in of_kind.values()]
            lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def arms(kind: str) -> dict[tuple[str, str], dict[str, str]]:
    """Returns the rows of a kind's table that are means over its three draws, by method and column; none is drawn where none is swapped."""
    draws = "1" if kind == "clean" else "3"
    with open(FOLDER / f"{OF_KIND[kind]}.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["corpora"] == draws and row["arm"] != "contrast"]
    return {(row["method"], row["column"]): row for row in rows}


def unfrozen() -> str:
    """Returns the contrasts with the last block of both trunks trained, beside those of heads alone."""
    rows = contrasts()
    lines = [f"| Points over plain continued training | {' | '.join(ALL)} |", "| --- |" + " --- |" * len(ALL)]
    for label, arm in (
        ("HELIP", "helip"),
        ("selection by ridge (helip_plus 2)", "ridge"),
        ("true removal, the positive control", "true_removal"),
    ):
        for of, kind in (("last blocks trained, four starts", "unfrozen"), ("heads alone, 24 starts", "foreign15")):
            cells = [points(rows[f"{kind}_{arm}", name], "effect", "ci") for name in ALL.values()]
            lines.append(f"| {label}; {of} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = {
    "photographs": photographs,
    "photographs_foreign15": foreign_arms,
    "photographs_everywhere": everywhere,
    "photographs_unfrozen": unfrozen,
    "photographs_again": functools.partial(photographs, AGAIN),
}


def contrasts(file: Path = CONTRASTS) -> dict[tuple[str, str], dict[str, str]]:
    """Returns the rows of contrasts by contrast and metric."""
    with open(file, newline="") as table:
        return {(row["contrast"], row["metric"]): row for row in csv.DictReader(table)}


def points(row: dict[str, str], effect: str, interval: str) -> str:
    """Returns a difference of a row with its interval, as +0.24 [+0.03, +0.46]."""
    numbers = (f"{float(row[key]):+.2f}" for key in (effect, f"{interval}_low", f"{interval}_high"))
    mean, low, high = (number.replace("-", "\u2212") for number in numbers)
    return f"{mean} [{low}, {high}]"
