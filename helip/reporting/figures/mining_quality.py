"""What was mined and selected, against what the generator of a corpus knows."""

from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helip.reporting.figures.style import FALSE_NEGATIVE, INK, METHODS, QUIET, TRULY_HARD
from helip.reporting.quality import Quality, Selected, write_quality, write_selections
from helip.study import Study
from helip.study.resolve import encoders_of

SCORES = {"clip_score": "CLIP score", "s_clip_loss": "s-CLIPLoss", "norm_sim": "NormSim", "column": "scores of your own"}
DETECTORS = {"precision": "#cc79a7", "recall": "#0072b2"}


def figure_of(study: Study) -> Figure:
    """Returns the figure: one row per pair set, then one per kind of selection, the mean over the starts that selected so. Also writes
    results/<study>/mining_quality.csv and selection_quality.csv: a row of its own for each."""
    sets = sorted(write_quality(study, study.root / "mining_quality.csv"), key=lambda q: q.corpus)  # methods of a corpus together
    alike: dict[str, list[Selected]] = {}
    for one in write_selections(study, study.root / "selection_quality.csv"):
        alike.setdefault(one.selection, []).append(one)
    names = [_name(study, q) for q in sets] + list(map(selection_label, alike.values()))
    figure = Figure(figsize=(11, 1.5 + 0.42 * len(names)), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True, width_ratios=(1.25, 0.8, 1))
    _kinds(axes[0], sets)
    _overlap(axes[1], sets)
    plot_detectors(axes[2], sets, list(alike.values()))
    axes[0].set_yticks(range(len(names)), names, fontsize=7.5)
    axes[0].set_ylim(len(names) - 0.4, -0.6)  # the first at the top
    return figure


def _name(study: Study, q: Quality) -> str:
    spec = study.pairs_entry(q.pairs)[1]
    encoders = " × ".join(encoders_of(spec))
    return f"{METHODS[q.method]}{f', pool {spec.pool:,}' if spec.pool else ''} · {q.corpus}\n{encoders}"


def selection_label(alike: list[Selected]) -> str:
    """Returns the label of selections of one kind: their score, how much they drop, what they set differently, and whose they are."""
    one = alike[0]
    dropped = f"selection by {SCORES.get(one.score, one.score)}, {fmean(s.dropped for s in alike):.0f} % dropped"
    kind = "bound: true mismatches" if one.score == "truth" else dropped
    other = one.selection.removeprefix(f"{one.score}.keep{one.keep}").strip(".")
    corpora = dict.fromkeys(s.corpus for s in alike)
    on = ", ".join(corpora) if len(corpora) <= 2 else f"{len(corpora)} corpora"
    by = one.start if len(alike) == 1 else f"mean of {len(alike)} starts"
    return f"{kind}{f', {other}' if other else ''}\n{on} · {by}"


def _kinds(axes: Axes, sets: list[Quality]) -> None:
    """Stacked shares of all mined entries; a pair can be the same concept without being a false negative, so three kinds suffice."""
    left = np.zeros(len(sets))
    shares = {"truly hard": [q.truly_hard for q in sets], "false negative": [q.false_negatives for q in sets]}
    shares["neither"] = [100 - q.truly_hard - q.false_negatives for q in sets]
    for (label, values), colour in zip(shares.items(), (TRULY_HARD, FALSE_NEGATIVE, QUIET), strict=True):
        axes.barh(range(len(sets)), values, left=left, color=colour, label=label, height=0.62)
        for y, (start, value) in enumerate(zip(left, values, strict=True)):
            if value >= 7:
                ink = INK if label == "neither" else "white"
                axes.text(start + value / 2, y, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color=ink)
        left = left + values
    for y in (y for y, q in enumerate(sets) if q.noise_targets == q.targets):
        axes.text(1, y, "none: every target counts as noise", va="center", fontsize=7.5)
    _titled(axes, "What the mined pairs are (%)")
    axes.set_xlim(0, 100)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.05), ncols=3, fontsize=8, handlelength=1)


def _overlap(axes: Axes, sets: list[Quality]) -> None:
    axes.barh(range(len(sets)), [q.attribute_overlap for q in sets], color="#0072b2", height=0.62)
    for y, q in enumerate(sets):
        axes.plot([q.chance_overlap] * 2, [y - 0.36, y + 0.36], color=INK, lw=1.6, label="pairs at random" if y == 0 else None)
    _titled(axes, "Attributes shared (%)")
    axes.set_xlim(0, 100)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.05), fontsize=8, handlelength=1)


def plot_detectors(axes: Axes, sets: list[Quality], selected: list[list[Selected]]) -> None:
    """Plots how well mismatched pairs were found.

    Large dots are the noise rule of a pair set, or the mean of a kind of selection; small ones are each of its starts.
    """
    rows = [({"precision": [q.noise_precision], "recall": [q.noise_recall]}, [q.mismatched]) for q in sets]
    rows += [({k: [getattr(s, k) for s in alike] for k in DETECTORS}, [s.mismatched for s in alike]) for alike in selected]
    for y, (shares, mismatched) in enumerate(rows):
        each = {k: [v for v in values if v is not None] for k, values in shares.items()}
        means = [fmean(values) if values else 0 for values in each.values()]
        axes.plot([min(means), max(means)], [y, y], color=QUIET, lw=2, zorder=1)
        for (label, values), mean in zip(each.items(), means, strict=True):
            if values:
                axes.scatter(mean, y, s=42, color=DETECTORS[label], zorder=2, label=label if y == 0 else None)
            if len(values) > 1:
                axes.scatter(values, [y + 0.3] * len(values), s=6, color=DETECTORS[label], linewidths=0, zorder=2)
        axes.plot([fmean(mismatched)] * 2, [y - 0.3, y + 0.3], color=INK, lw=1.6, zorder=0, label="pairs at random" if y == 0 else None)
    _titled(axes, "Mismatched pairs found (%)")
    axes.set_xlim(-3, 103)
    if any(len(alike) > 1 for alike in selected):
        axes.scatter([], [], s=6, color=INK, linewidths=0, label="one start")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.05), ncols=2, fontsize=8, handletextpad=0.5, handlelength=1)


def _titled(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", fontsize=9)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
