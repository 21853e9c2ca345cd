"""Figure 4: accuracy by size of the corpus, ours with intervals beside what the paper printed."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helip.io import read_json
from helip.reporting.figures.style import ARMS
from helip.reporting.measured import Measured, independent
from helip.reporting.noise import training_noise
from helip.reporting.paired import Paired, spread
from helip.reporting.statistics import gain
from helip.stages import BuildCorpus
from helip.study import Study

LABELS = {"start": "CLIP", "control": "CLIP, control", "cleaned": "CLIP, cleaned (ours)", "helip": "CLIP-HELIP"}
PAPER_SIZES = {"CC3M": 3e6, "CC12M": 12e6, "YFCC15M": 15e6, "29M": 29e6}  # as the paper names them


def draw(study: Study) -> Figure:
    points = sorted(_points(study))
    rows = study.tables["figure4"].rows
    printed = [(r.corpus, _arm(r.label), v) for r in rows for v in r.published.values()]
    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    ours, paper = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _ours(ours, points)
    _paper(paper, printed)
    ours.set_title(f"Study “{study.name}”", loc="left", fontweight="bold")
    paper.set_title("Published (arXiv 2305.05208)", loc="left", fontweight="bold")
    ours.set_ylabel("top-1 accuracy (%)")
    figure.legend(*ours.get_legend_handles_labels(), loc="outside lower left", ncols=4, columnspacing=1.4)
    return figure


def _points(study: Study) -> Iterator[tuple[int, str, str, float, float, float]]:
    """(pairs, corpus, arm, value, low, high): the interval over seeds and test items."""
    measured, column = Measured(study, []), study.tables["figure4"].columns[0]
    runs = [(corpus, study.run(run)) for corpus, _, run, _, _ in study.table_rows("figure4")]
    there = [(corpus, run) for corpus, run in runs if measured.is_there(run.name, [column])]  # the study may be under way
    hits = {run.name: measured.hits(run.name, run.seeds, column) for _, run in there}
    alone = {run.name: Paired(((column.set, hits[run.name]),), tuple(independent(run.seeds)), run.start or run.name)
             for _, run in there if hits[run.name] is not None}  # fmt: skip
    noise = training_noise([spread([p])] for p in alone.values())
    for corpus, run in there:
        value = float(np.mean(measured.values(run.name, [column])))
        low, high = gain([alone[run.name]]).interval(noise) if run.name in alone else (value, value)
        yield read_json(BuildCorpus(study, run.corpus).output)["size"], corpus, run.arm, value, low, high


def _ours(axes: Axes, points: list[tuple[int, str, str, float, float, float]]) -> None:
    arms = [arm for arm in ARMS if any(p[2] == arm for p in points)]
    sizes = {corpus: size for size, corpus, *_ in points}
    place = {corpus: n for n, corpus in enumerate(sizes)}
    for k, arm in enumerate(arms):
        at, value, low, high = (np.array(c, float) for c in zip(*((place[p[1]], *p[3:]) for p in points if p[2] == arm), strict=True))
        aside = at + 0.09 * (k - (len(arms) - 1) / 2)  # arms stand beside each other, so that intervals can be read
        error = np.clip([value - low, high - value], 0, None)
        axes.errorbar(aside, value, error, color=ARMS[arm], label=LABELS[arm], marker="o", ms=5, lw=1.6, capsize=3, elinewidth=1.1)
    _corpora(axes, sizes)
    axes.set_xlabel("corpora by number of pairs; bars are 95 % intervals over seeds and test items")


def _arm(label: str) -> str:
    return next((arm for arm, word in (("helip", "HELIP"), ("control", "control")) if word in label), "start")


def _paper(axes: Axes, printed: list[tuple[str, str, float]]) -> None:
    place = {name: n for n, name in enumerate(PAPER_SIZES)}
    for arm in ("start", "control", "helip"):
        aside = 0.12 * (arm == "control")  # one number, on 29M, that would hide its start's
        found = sorted((place[c] + aside, v) for c, a, v in printed if a == arm and c in place)
        axes.plot(*zip(*found, strict=True), color=ARMS[arm], label=LABELS[arm], marker="o", ms=5, lw=1.6, ls="--")
    _corpora(axes, PAPER_SIZES)
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
