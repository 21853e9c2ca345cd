"""The tables of the page of photographs, from the CSV files beside it: what `make flickr8k` wrote into results/flickr8k."""

import csv
from pathlib import Path

from helip.errors import HelipError

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "photographs"
CONTRASTS = FOLDER / "contrasts.csv"
KINDS = {
    "foreign15": "15 % foreign",
    "near15": "15 %, half near",
    "foreign30": "30 % foreign",
    "near30": "30 %, half near",
    "clean": "none",
}
OF_KIND = dict(zip(KINDS, ("table12", "table13", "table14", "table15", "table16"), strict=True))
ARMS = (
    ("HELIP, 15 % as outliers", "helip"),
    ("selection by neighbour agreement", "agreement"),
    ("selection by ridge (helip_plus 2)", "ridge"),
    ("true removal, a bound", "true_removal"),
    ("ridge, over HELIP", "ridge_over_helip"),
    ("hard pairs on top of ridge, over ridge", "hard_pairs_on_ridge"),
)
PRIMARY = {"text to image R@1": "flickr30k.retrieval.image_recall_at_1", "CIFAR-10": "cifar10.zeroshot.acc1"}
ALL = PRIMARY | {"image to text R@1": "flickr30k.retrieval.text_recall_at_1"}
COLUMNS = {"text to image R@1": "t2i_r1", "image to text R@1": "i2t_r1", "CIFAR-10": "cifar10"}  # of the tables
ASKED = ("HELIP", "neighbour agreement", "helip_plus 2: ridge", "bound: true removal of the swapped", "HELIP on ridge")  # by a contrast


def photographs() -> str:
    """Returns the primary contrasts of the study flickr8k: gains in points with 95 % intervals over trainings and test items."""
    rows = contrasts()
    lines = [f"| Captions swapped | {' | '.join(KINDS.values())} |", "| --- |" + " --- |" * len(KINDS)]
    for metric, name in PRIMARY.items():
        lines.append(f"| **{metric}**, points over plain continued training |" + " |" * len(KINDS))
        for label, arm in ARMS:
            cells = [rows.get((f"{kind}_{arm}", name)) for kind in KINDS]
            lines.append(f"| {label} | {' | '.join(_points(row, 'effect', 'ci') if row else 'not asked' for row in cells)} |")
    return "\n".join(lines)


def other_arms() -> str:
    """Returns the arms that every kind has and no contrast asks about."""
    tables = {kind: gains_of(table) for kind, table in OF_KIND.items()}
    shared = set.intersection(*({method for method, _ in rows} for rows in tables.values()))
    methods = [method for method, key in tables["foreign15"] if method in shared and method not in ASKED and key == "t2i_r1"]
    lines = [f"| Captions swapped | {' | '.join(KINDS.values())} |", "| --- |" + " --- |" * len(KINDS)]
    for metric in PRIMARY:
        lines.append(f"| **{metric}**, points over plain continued training |" + " |" * len(KINDS))
        lines += [f"| {method} | {' | '.join(rows[method, COLUMNS[metric]] for rows in tables.values())} |" for method in methods]
    return "\n".join(lines)


def foreign_arms() -> str:
    """Returns the arms that were run where 15 % of the captions are foreign and nowhere else."""
    rows, elsewhere = gains_of("table12"), {method for method, _ in gains_of("table13")}
    methods = dict.fromkeys(method for method, _ in rows if method not in elsewhere)
    lines = [f"| 15 % foreign, points over plain continued training | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    return "\n".join([*lines, *(f"| {m} | {' | '.join(rows[m, key] for key in COLUMNS.values())} |" for m in methods)])


def unfrozen() -> str:
    """Returns the contrasts with the last block of both trunks trained, beside those of heads alone."""
    rows = contrasts()
    lines = [f"| Points over plain continued training | {' | '.join(ALL)} |", "| --- |" + " --- |" * len(ALL)]
    for label, arm in (("HELIP", "helip"), ("selection by ridge (helip_plus 2)", "ridge"), ("true removal, a bound", "true_removal")):
        for of, kind in (("last blocks trained, four starts", "unfrozen"), ("heads alone, 24 starts", "foreign15")):
            cells = [_points(rows[f"{kind}_{arm}", name], "effect", "ci") for name in ALL.values()]
            lines.append(f"| {label}; {of} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = {
    "photographs": photographs,
    "photographs_arms": other_arms,
    "photographs_foreign15": foreign_arms,
    "photographs_unfrozen": unfrozen,
}


def contrasts() -> dict[tuple[str, str], dict[str, str]]:
    """Returns the rows of contrasts.csv by contrast and metric."""
    with open(CONTRASTS, newline="") as file:
        return {(row["contrast"], row["metric"]): row for row in csv.DictReader(file)}


def gains_of(table: str) -> dict[tuple[str, str], str]:
    """Returns the gains over plain continued training of a table, by method and column: means over its draws where it has several."""
    with open(FOLDER / f"{table}.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["arm"] not in ("start", "contrast") and row["delta"]]
    most = max(int(row["corpora"]) for row in rows)
    kept = [row for row in rows if int(row["corpora"]) == most and row["method"] != "control"]
    if not kept:
        raise HelipError(f"{FOLDER / table}.csv: holds no gain over plain continued training; print it again")
    return {(row["method"], row["column"]): _points(row, "delta", "delta_ci") for row in kept}


def _points(row: dict[str, str], effect: str, interval: str) -> str:
    numbers = (f"{float(row[key]):+.2f}" for key in (effect, f"{interval}_low", f"{interval}_high"))
    mean, low, high = (number.replace("-", "\u2212") for number in numbers)
    return f"{mean} [{low}, {high}]"
