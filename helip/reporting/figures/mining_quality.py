"""Figure 8, which the paper lacks: what kinds of pairs each method mined, how near they are, and how well noise was found."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helip.binding import encoders_of
from helip.reporting.figures.style import FALSE_NEGATIVE, INK, METHODS, OTHER, TRULY_HARD
from helip.reporting.mining_quality import Quality, selections, write_quality
from helip.study import BoundStudy


def draw(study: BoundStudy) -> Figure:
    """Also writes results/<study>/mining_quality.csv, the numbers that it shows. One row per pair set, then per selection."""
    found = sorted(write_quality(study, study.root / "mining_quality.csv"), key=lambda q: q.corpus)  # methods of a corpus together
    chosen = list(selections(study))
    names = [_name(study, q) for q in found] + [f"selection\n{name}" for name, _ in chosen]
    detectors = [(q.noise_precision, q.noise_recall) for q in found]
    detectors += [tuple(None if t[k] is None else 100 * t[k] for k in ("precision", "recall")) for _, t in chosen]
    figure = Figure(figsize=(11, 1.5 + 0.42 * len(names)), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True, width_ratios=(1.25, 0.8, 1))
    _kinds(axes[0], found)
    _overlap(axes[1], found)
    _noise(axes[2], detectors, [q.mismatched for q in found])
    axes[0].set_yticks(range(len(names)), names, fontsize=7.5)
    axes[0].set_ylim(len(names) - 0.4, -0.6)  # the first at the top
    return figure


def _name(study: BoundStudy, q: Quality) -> str:
    spec = study.pairs_entry(q.pairs)[1]
    encoders = " × ".join(encoders_of(spec))
    return f"{METHODS[q.method]}{f', pool {spec.pool:,}' if spec.pool else ''} · {q.corpus}\n{encoders}"


def _kinds(axes: Axes, found: list[Quality]) -> None:
    """Stacked shares of all mined entries; a pair can be the same concept without being a false negative, so three kinds suffice."""
    left = np.zeros(len(found))
    shares = {"truly hard": [q.truly_hard for q in found], "false negative": [q.false_negatives for q in found]}
    shares["neither"] = [100 - q.truly_hard - q.false_negatives for q in found]
    for (label, values), colour in zip(shares.items(), (TRULY_HARD, FALSE_NEGATIVE, OTHER), strict=True):
        axes.barh(range(len(found)), values, left=left, color=colour, label=label, height=0.62)
        for y, (start, value) in enumerate(zip(left, values, strict=True)):
            if value >= 7:
                ink = INK if label == "neither" else "white"
                axes.text(start + value / 2, y, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color=ink)
        left = left + values
    for y in (y for y, q in enumerate(found) if q.noise_targets == q.targets):
        axes.text(1, y, "none: every target counts as noise", va="center", fontsize=7.5)
    _titled(axes, "What the mined pairs are (%)")
    axes.set_xlim(0, 100)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.05), ncols=3, fontsize=8, handlelength=1)


def _overlap(axes: Axes, found: list[Quality]) -> None:
    axes.barh(range(len(found)), [q.attribute_overlap for q in found], color="#0072b2", height=0.62)
    for y, q in enumerate(found):
        axes.plot([q.chance_overlap] * 2, [y - 0.36, y + 0.36], color=INK, lw=1.6, label="pairs at random" if y == 0 else None)
    _titled(axes, "Attributes shared (%)")
    axes.set_xlim(0, 100)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.05), fontsize=8, handlelength=1)


def _noise(axes: Axes, detectors: list[tuple[float | None, float | None]], mismatched: list[float]) -> None:
    for y, (precision, recall) in enumerate(detectors):
        axes.plot([min(precision or 0, recall or 0), max(precision or 0, recall or 0)], [y, y], color=OTHER, lw=2, zorder=1)
        for value, colour, label in ((precision, "#cc79a7", "precision"), (recall, "#0072b2", "recall")):
            if value is not None:
                axes.scatter(value, y, s=42, color=colour, zorder=2, label=label if y == 0 else None)
    for y, share in enumerate(mismatched):
        axes.plot([share] * 2, [y - 0.3, y + 0.3], color=INK, lw=1.6, zorder=0, label="pairs at random" if y == 0 else None)
    _titled(axes, "Mismatched pairs found (%)")
    axes.set_xlim(-3, 103)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.05), ncols=3, fontsize=8, handletextpad=0.3)


def _titled(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", fontsize=9)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
