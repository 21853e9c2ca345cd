"""The answer of `helip refine`: what each arm gave on held-out pairs and named sets, what was forgotten, what to look at, what it cost.

Verdicts are of paired intervals at 95 %: over the test items, and over the trainings too where there are several.
"""

import functools
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from helip.config import Column, HeldOutSet
from helip.io import atomic_folder, read_json, write_json
from helip.reporting.formats import signed
from helip.reporting.measured import Measured
from helip.reporting.provenance import costs
from helip.reporting.refine_content import Change, Example, Forgotten, ModelRow, Page, SetRow, SweepRow
from helip.reporting.refine_examples import duplicates, hard_examples, lowest_examples
from helip.stages import Answer, BuildCorpus, model_of
from helip.study import Study
from helip.study.resolve import ResolvedRun

DIRECTIONS = ("retrieval.text_recall_at_1", "retrieval.image_recall_at_1")  # image to text, text to image
WHAT = {
    "control": "Continued training on your pairs",
    "selected": "Selection",
    "helip": "Hard pairs",
    "cleaned": "Leaving out pairs without hard pairs",
    "selected_helip": "Selection with hard pairs",
}


def write_answer(study: Study, folder: Path) -> str:
    """Writes report.html, answer.txt and answer.json into the folder; returns the first sentence of the answer."""
    page = page_of(study)
    with atomic_folder(folder) as temporary:
        (temporary / "report.html").write_text(_template().render(page=page, signed=signed), encoding="utf-8")
        (temporary / "answer.txt").write_text(terminal(page), encoding="utf-8")
        write_json(temporary / "answer.json", _numbers(page))
    return page.sentences[0]


def page_of(study: Study) -> Page:
    """Computes the answer of a study that `helip refine` wrote."""
    measured = Measured(study, [])
    rows = tuple(_row(study, measured, run) for run in study.runs.values())
    best = max(rows, key=lambda row: row.validation)
    manifest = read_json(BuildCorpus(study, "train").output)
    spent = costs(study)
    return Page(
        question=study.declaration.question, sentences=tuple(_sentences(study, measured, rows, best)), best=best,
        model=_best_folder(study, measured, best.run), rows=rows, sets=tuple(_sets(study, measured)),
        forgotten=tuple(_forgotten(study, measured)), sweeps=tuple(_sweeps(study)), hard=tuple(hard_examples(study)),
        lowest=tuple(lowest_examples(study)), duplicates=duplicates(study), pairs=manifest["size"], held_out=manifest["held_out"],
        left_out=read_json(BuildCorpus(study, "whole").output)["quarantined"], costs=tuple(spent.by_stage),
        minutes=sum(spent.wall.values()) / 60, trainings=max(len(run.seeds) for run in study.runs.values()),
    )  # fmt: skip


# ---------------------------------------------------------------- models


def columns_of(study: Study, name: str) -> list[Column]:
    """Returns the columns of a set: both directions of a retrieval, or the accuracy of a classification."""
    if study.evaluation_set(name).task == "retrieval":
        return [Column(key=f"{name}_{i}", label=name, set=name, metric=metric) for i, metric in enumerate(DIRECTIONS)]
    return [Column(key=name, label=name, set=name, metric="zeroshot.acc1")]


def label_of(run: ResolvedRun) -> str:
    """Returns what the page calls a model."""
    if run.interpolate:
        return f"{run.interpolate.run.replace('_', ' + ')}, mixed with the start"
    return {"control": "continued training (control)", "start": "start"}.get(run.name, run.name.replace("_", " + "))


def change(measured: Measured, run: str, over: str, columns: Sequence[Column]) -> Change | None:
    """Returns the difference between two models on a set, with its interval; None where they share no items or are one."""
    difference = measured.difference(run, over, columns) if run != over else None
    if difference is None or difference.gain is None or difference.paired is None:
        return None
    interval = difference.gain.interval()
    return Change(difference.delta, interval.low, interval.high, any(d_Sn.any() for _, d_Sn in difference.paired.columns))


def _row(study: Study, measured: Measured, run: ResolvedRun) -> ModelRow:
    test = columns_of(study, "test")
    to_text, to_image = (statistics.fmean(measured.values(run.name, [column])) for column in test)
    is_control = run.name in ("start", "control")
    return ModelRow(
        run.name, label_of(run), len(run.seeds), statistics.fmean(measured.values(run.name, columns_of(study, "validation"))), to_text,
        to_image, change(measured, run.name, "start", test), None if is_control else change(measured, run.name, "control", test),
    )  # fmt: skip


def _best_folder(study: Study, measured: Measured, run: str) -> str:
    """Of the trainings of the best model, the one that is best on validation."""
    seeds = study.run(run).seeds
    values = measured.values(run, columns_of(study, "validation"))
    seed = seeds[int(np.argmax(values))]
    return str(model_of(study, run, seed).folder.relative_to(study.root))


# ---------------------------------------------------------------- plain words


def _sentences(study: Study, measured: Measured, rows: Sequence[ModelRow], best: ModelRow) -> list[str]:
    by_run = {row.run: row for row in rows}
    lines = [_verdict(by_run[arm], by_run["start" if arm == "control" else "control"], arm) for arm in WHAT if arm in by_run]
    if best.run == "start":
        return [*lines, "Nothing beat the start on validation: keep the start."]
    over = [(best.over_start, "the start"), (best.over_control, "plain continued training")]
    gained = " and ".join(one.over(name) for one, name in over if one is not None)
    weights = {row.run: row.best for row in _sweeps(study)}.get(best.run, ())
    at = f" (weight {' and '.join(f'{weight:g}' for weight in dict.fromkeys(weights))})" if weights else ""
    lines.append(f"Best on validation: {best.label}{at}. On the test pairs it is at R@1 {best.both:.1f}, {gained}.")
    return [*lines, *_lost(study, measured, best)]


def _verdict(row: ModelRow, over: ModelRow, arm: str) -> str:
    compared = row.over_start if arm == "control" else row.over_control
    what, plural = WHAT[arm], arm == "helip"
    numbers = f"R@1 {over.both:.1f} -> {row.both:.1f}"
    if compared is None:
        return f"{what}: {numbers}; nothing says how sure that is."
    if not compared.is_informative:
        return f"{what}: {numbers}; no test pair changed, which says nothing."
    verb = {"helps": "help", "hurts": "hurt", "no difference shown": "make no difference that can be shown"}[compared.verdict]
    if not plural:
        verb = re.sub(r"^(\w+)", r"\1s", verb)
    return f"{what} {verb}: {numbers} ({compared.text})."


def _lost(study: Study, measured: Measured, best: ModelRow) -> list[str]:
    lines = []
    for one in _forgotten(study, measured):
        if one.label == best.label and one.right:
            lines.append(
                f"Forgotten: of {one.right:.0f} held-out queries that the start answers rightly, {one.lost:.0f} "
                f"({100 * one.lost / one.right:.0f} %) are lost; {one.won:.0f} others are won."
            )
    for row in _sets(study, measured):
        for label, value, moved in row.values:
            if label == best.label and moved is not None:
                lines.append(f"On {row.name} ({row.metric}) it is at {value:.1f}: {moved.over('the start')}.")
    return lines


def terminal(page: Page) -> str:
    """Returns the answer as a terminal shows it: sentences, then a table of the models."""
    width = max(len(row.label) for row in page.rows)
    head = f"{'model':{width}}  validation  image->text  text->image  over start           over control"
    rows = [
        f"{row.label:{width}}  {row.validation:10.1f}  {row.to_text:11.1f}  {row.to_image:11.1f}  "
        f"{row.over_start.text if row.over_start else '':20} {row.over_control.text if row.over_control else ''}".rstrip()
        for row in page.rows
    ]
    note = f"R@1 in percent on {page.held_out['test']} held-out images; differences in points with 95 % intervals over {_over(page)}."
    return "\n".join(["", *page.sentences, "", head, *rows, note, ""]) + "\n"


def _over(page: Page) -> str:
    return "items and trainings" if page.trainings > 1 else "items (one training of each: --seeds 3 counts the luck of a training too)"


# ---------------------------------------------------------------- sets, and what was forgotten


def _sets(study: Study, measured: Measured) -> list[SetRow]:
    rows = []
    for name, declared in study.declaration.evaluation.items():
        if isinstance(declared, HeldOutSet):
            continue
        columns = columns_of(study, name)
        values = tuple(
            (label_of(run), statistics.fmean(measured.values(run.name, columns)), change(measured, run.name, "start", columns))
            for run in study.runs.values()
        )
        metric = "R@1, mean of both directions" if declared.task == "retrieval" else "zero-shot accuracy"
        rows.append(SetRow(name, metric, values))
    return rows


def _forgotten(study: Study, measured: Measured) -> list[Forgotten]:
    rows = []
    for run in study.runs.values():
        if run.name == "start":
            continue
        right = lost = won = 0.0
        for column in columns_of(study, "test"):
            before, after = (measured.queries(one.name, one.seeds, column) for one in (study.run("start"), run))
            if before is None or after is None:
                continue
            right += float(before[0].sum())
            lost += float((before[0] & ~after).sum(1).mean())
            won += float((after & ~before[0]).sum(1).mean())
        rows.append(Forgotten(label_of(run), right, lost, won))
    return rows


def _sweeps(study: Study) -> list[SweepRow]:
    by_run: dict[str, list[dict[str, Any]]] = {}
    for one in Answer(study).sweeps():
        mixed = study.run(one.run).interpolate
        assert mixed is not None  # a sweep is of an interpolation
        by_run.setdefault(mixed.run, []).append(read_json(one.output))
    return [
        SweepRow(
            f"{run}_mixed",
            label_of(study.run(run)),
            tuple((weight, statistics.fmean(sweep["scores"][weight] for sweep in sweeps)) for weight in sweeps[0]["scores"]),
            tuple(sweep["best"] for sweep in sweeps),
        )
        for run, sweeps in by_run.items()
    ]


# ---------------------------------------------------------------- forms


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("helip.reporting", "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("refine.html.j2")


def _numbers(page: Page) -> dict[str, Any]:
    """The page as JSON values, without its pictures."""
    content = asdict(page)
    for kind in ("hard", "lowest"):
        content[kind] = [_told(one) for one in getattr(page, kind)]
    content["best"] |= {"model": page.model}
    return content


def _told(one: Example) -> dict[str, Any]:
    told: dict[str, Any] = {"key": one.key, "caption": one.caption}
    return told | ({} if one.score is None else {"score": one.score}) | ({"hard": _told(one.other)} if one.other else {})
