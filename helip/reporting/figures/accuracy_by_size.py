"""Accuracy by size of the corpus: the study's runs with intervals, beside what the paper printed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helip.config import AccuracyBySize
from helip.io import read_json
from helip.reporting.figures.style import ARMS
from helip.reporting.measured import Measured, independent
from helip.reporting.statistics import Paired, gain, spread, training_noise
from helip.stages import BuildCorpus
from helip.study import Study

LABELS = {"start": "CLIP", "control": "CLIP, control", "cleaned": "CLIP, cleaned (ours)", "helip": "CLIP-HELIP"}


class Point(NamedTuple):
    """The accuracy of one run in percent, with its interval over seeds and test items. Points sort by the size of their corpus."""

    size: int  # pairs
    corpus: str
    arm: str
    value: float
    low: float
    high: float


def figure_of(study: Study, declared: AccuracyBySize) -> Figure:
    """Returns the figure: the study's numbers with intervals, beside what the paper printed."""
    points = sorted(points_of(study, declared.table))
    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    ours, paper = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _ours(ours, points)
    plot_published(paper, published_points(study, declared), declared.sizes)
    ours.set_title(f"Study “{study.name}”", loc="left", fontweight="bold")
    paper.set_title("Published (arXiv 2305.05208)", loc="left", fontweight="bold")
    ours.set_ylabel("top-1 accuracy (%)")
    figure.legend(*ours.get_legend_handles_labels(), loc="outside lower left", ncols=4, columnspacing=1.4)
    return figure


def points_of(study: Study, table: str) -> Iterator[Point]:
    """Yields a point for each row of a table that is measured."""
    measured, column = Measured(study, []), study.tables[table].columns[0]
    runs = [(corpus, study.run(run)) for corpus, _, run, _, _ in study.table_rows(table)]
    there = [(corpus, run) for corpus, run in runs if measured.is_there(run.name, [column])]  # the study may be under way
    hits = {run.name: measured.hits(run.name, run.seeds, column) for _, run in there}
    alone = {run.name: Paired(((column.set, counted),), tuple(independent(run.seeds)), run.start or run.name)
             for _, run in there if (counted := hits[run.name]) is not None}  # fmt: skip
    noise = training_noise([spread([p])] for p in alone.values())
    for corpus, run in there:
        value = float(np.mean(measured.values(run.name, [column])))
        low, high = gain([alone[run.name]]).interval(noise) if run.name in alone else (value, value)
        yield Point(read_json(BuildCorpus(study, run.corpus).output)["size"], corpus, run.arm, value, low, high)


def _ours(axes: Axes, points: list[Point]) -> None:
    arms = [arm for arm in ARMS if any(p.arm == arm for p in points)]
    sizes = {p.corpus: float(p.size) for p in points}
    place = {corpus: n for n, corpus in enumerate(sizes)}
    for k, arm in enumerate(arms):
        of_arm = [(place[p.corpus], p.value, p.low, p.high) for p in points if p.arm == arm]
        at, value, low, high = np.array(of_arm, float).T
        aside = at + 0.09 * (k - (len(arms) - 1) / 2)  # arms stand beside each other, so that intervals can be read
        error = np.clip([value - low, high - value], 0, None)
        axes.errorbar(aside, value, error, color=ARMS[arm], label=LABELS[arm], marker="o", ms=5, lw=1.6, capsize=3, elinewidth=1.1)
    _corpora(axes, sizes)
    axes.set_xlabel("corpora by number of pairs; bars are 95 % intervals over seeds and test items")


def published_points(study: Study, declared: AccuracyBySize) -> list[tuple[str, str, float]]:
    """Returns (corpus, arm, percent) of every number that the paper printed; the arm is told by the row's label."""
    rows = study.tables[declared.table].rows
    return [(r.corpus, _arm(r.label), value) for r in rows for value in r.published.values()]


def _arm(label: str) -> str:
    return next((arm for arm, word in (("helip", "HELIP"), ("control", "control")) if word in label), "start")


def plot_published(axes: Axes, printed: list[tuple[str, str, float]], sizes: dict[str, float]) -> None:
    """Plots what the paper printed, one line per arm, over the corpora in the order of `sizes` (name -> pairs)."""
    place = {name: n for n, name in enumerate(sizes)}
    for arm in ("start", "control", "helip"):
        aside = 0.12 * (arm == "control")  # one number, on 29M, that would hide its start's
        of_arm = sorted((place[c] + aside, v) for c, a, v in printed if a == arm and c in place)
        axes.plot(*zip(*of_arm, strict=True), color=ARMS[arm], label=LABELS[arm], marker="o", ms=5, lw=1.6, ls="--")
    _corpora(axes, sizes)
    axes.set_xlabel("corpora by number of pairs; no intervals given")


def _corpora(axes: Axes, sizes: dict[str, float]) -> None:
    """Names and sizes under the ticks, evenly spaced: sizes may lie as near to each other as CC12M and YFCC15M."""
    axes.set_xticks(range(len(sizes)), [f"{name}\n{_short(size)}" for name, size in sizes.items()], fontsize=8)
    axes.set_xlim(-0.5, len(sizes) - 0.5)


def _short(size: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{letter}"
    return f"{size:g}"
