"""The files of a study that `helip refine` writes: the one to edit, the tables around it, and a Snakefile."""

from pathlib import Path
from typing import Any

import yaml

from helip.io import atomic_file
from helip.own.arms import ARMS

NAME = "own"  # of the study, whose artefacts lie in OUT/results/own
HEAD = """# Written by `helip refine`. Edit it and run `snakemake report.html` in this folder: what a changed line touches is made again.
# Every field is explained in helip/config; `helip refine` with the same options goes on with this file as it is.
"""


def write(out: Path, study: dict[str, Any], root: Path) -> str:
    """Writes the study's files into `out` and returns the text of the one to edit. root: the folder of the Snakefile."""
    text = text_of(study)
    paper = out / "experiments" / "paper"
    _write(paper / "runs.yaml", "names: {corpora: {}, models: {}, objectives: {}, encoders: {}}\nruns: {}\n")
    for name, content in zip(("tables", "claims", "report"), _tables(study), strict=True):
        _write(paper / f"{name}.yaml", yaml.safe_dump(content, sort_keys=False, width=120))
    _write(out / "Snakefile", SNAKEFILE.format(snakefile=str(root / "Snakefile"), study=NAME))
    _write(study_file(out), text)
    return text


def text_of(study: dict[str, Any]) -> str:
    """Returns the text of the file to edit."""
    return HEAD + yaml.safe_dump(plain(study), sort_keys=False, width=120)


SNAKEFILE = """# `snakemake report.html --cores 2` here makes the page of the study beside it, or goes on with it.
include: {snakefile!r}


localrules:
    page,


rule page:
    input:
        "results/{study}/answer/report.html",
    output:
        "report.html",
    shell:
        "cp {{input}} {{output}}"
"""


def study_file(out: Path) -> Path:
    """Returns the file that a user edits."""
    return out / "experiments" / "studies" / f"{NAME}.yaml"


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text() == text:
        return  # the same file with the same time: nothing is made again for it
    with atomic_file(path) as temporary:
        temporary.write_text(text)


def plain(value: Any) -> Any:
    """Returns a value with lists for tuples, as YAML writes it."""
    match value:
        case dict():
            return {key: plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    return value


DIRECTIONS = (("to_text", "image to text", "text_recall_at_1"), ("to_image", "text to image", "image_recall_at_1"))


def _tables(study: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(tables, claims, report): table 1 holds every model on every set, and each arm is asked whether it beats the control."""
    columns = []
    for name, declared in study["evaluation"].items():
        if name == "validation":
            continue
        if declared.get("task", "retrieval") == "retrieval":
            columns += [{"key": f"{name}_{key}", "label": f"{name}, {label} R@1", "set": name, "metric": f"retrieval.{metric}"}
                        for key, label, metric in DIRECTIONS]  # fmt: skip
        else:
            columns.append({"key": name, "label": name, "set": name, "metric": "zeroshot.acc1"})
    rows = [{"corpus": "own pairs", "label": run.replace("_", " "), "run": run, "ours": True} for run in study["runs"]]
    table = {"title": "Every model on every set", "place": "helip refine", "columns": columns, "rows": rows}
    on = {"place": "helip refine", "table": "table1", "columns": ["test_to_text", "test_to_image"], "margin": 0.5}
    arms = [run for run in study["runs"] if run in ARMS]
    claims = {f"{arm}_helps": {"text": f"The arm {arm} beats its reference on held-out pairs", "run": arm,
                               "over": "start" if arm == "control" else "control", **on} for arm in arms}  # fmt: skip
    question = {"table": "table1", "claim": f"{arms[-1]}_helps", "asked_once": arms[-1]}
    return {"table1": table}, claims, {"question": question, "figures": {}}
