"""The figures that experiments/paper/report.yaml declares, PNG and PDF: accuracy by size of the corpus, hard pairs side by side, and
what was mined against what the generator knows.

All have one look: white paper, quiet axes, one colour per arm or method (Okabe and Ito's, which the colour-blind can tell)."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from helip.config import AccuracyBySize, MiningQuality, PairSheet
from helip.data.corpus import Corpus
from helip.errors import HelipError
from helip.io import atomic_file, read_json
from helip.mining.pairs import PairSet
from helip.reporting.measured import Measured, independent
from helip.reporting.quality import Quality, Selected, write_quality, write_selections
from helip.reporting.statistics import Paired, gain, spread, training_noise
from helip.stages import BuildCorpus, Mine
from helip.stages.figure import figures_of, sheet_pairs
from helip.study import Study
from helip.study.resolve import encoders_of
from helip.synthetic.truth import Truth

ARMS = {"start": "#7f7f7f", "control": "#0072b2", "cleaned": "#56b4e9", "helip": "#d55e00"}
METHODS = {"hpm": "HPM", "fast_hpm": "FastHPM", "image": "IM", "text": "TM", "random": "random", "truth": "bound: true pairs"}
FALSE_NEGATIVE, TRULY_HARD, OTHER, INK = "#d55e00", "#009e73", "#c9ced6", "#1c2430"
LABELS = {"start": "CLIP", "control": "CLIP, control", "cleaned": "CLIP, cleaned (ours)", "helip": "CLIP-HELIP"}
SCORES = {"clip_score": "CLIP score", "s_clip_loss": "s-CLIPLoss", "norm_sim": "NormSim", "column": "scores of your own"}
DETECTORS = {"precision": "#cc79a7", "recall": "#0072b2"}
SHOWN = 5  # hard pairs of a target, the nearest first

_RC: Any = {  # matplotlib's own type is a Literal of each name
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a93a0",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": "#4a5361",
    "ytick.color": "#4a5361",
    "axes.grid": True,
    "grid.color": "#e8ebf0",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # text stays text
}


def draw(study: Study, name: str) -> list[Path]:
    """Draws results/<study>/<name>.png and .pdf. HelipError where the study lacks what the figure shows."""
    if name not in [one.figure for one in figures_of(study)]:
        can = ", ".join([one.figure for one in figures_of(study)]) or "none"
        raise HelipError(f"{study.file}: '{name}' is no figure, or the study lacks what it shows; it can draw {can}")
    with matplotlib.rc_context(_RC):
        match study.report.figures[name]:
            case AccuracyBySize() as declared:
                figure = _accuracy_by_size(study, declared)
            case PairSheet() as declared:
                figure = _pair_sheet(study, name, declared)
            case MiningQuality():
                figure = _mining_quality(study)
        return _save(figure, study.root / name)


def _save(figure: Figure, stem: Path) -> list[Path]:
    """stem.png (for the screen) and stem.pdf (for a paper), each whole; no time of day inside, so that the same figure is the same file."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "pdf")]
    for path, metadata in zip(paths, ({"Software": None}, {"CreationDate": None}), strict=True):
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=160, bbox_inches="tight", pad_inches=0.15, metadata=metadata)
    return paths


# ---------------------------------------------------------------- accuracy by size of the corpus


class Point(NamedTuple):
    """The accuracy of one run in percent, with its interval over seeds and test items. Points sort by the size of their corpus."""

    size: int  # pairs
    corpus: str
    arm: str
    value: float
    low: float
    high: float


def _accuracy_by_size(study: Study, declared: AccuracyBySize) -> Figure:
    """Ours with intervals, beside what the paper printed."""
    points = sorted(_points(study, declared.table))
    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    ours, paper = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _ours(ours, points)
    plot_published(paper, published_points(study, declared), declared.sizes)
    ours.set_title(f"Study “{study.name}”", loc="left", fontweight="bold")
    paper.set_title("Published (arXiv 2305.05208)", loc="left", fontweight="bold")
    ours.set_ylabel("top-1 accuracy (%)")
    figure.legend(*ours.get_legend_handles_labels(), loc="outside lower left", ncols=4, columnspacing=1.4)
    return figure


def _points(study: Study, table: str) -> Iterator[Point]:
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


# ---------------------------------------------------------------- hard pairs side by side


def _pair_sheet(study: Study, name: str, declared: PairSheet) -> Figure:
    """Targets and their hard pairs, image over caption, one row per method. Targets are drawn, never chosen by eye."""
    names = [one.pairs for one in sheet_pairs(study, name)]
    corpus_name = study.pairs_entry(names[0])[0]
    corpus = Corpus.open(BuildCorpus(study, corpus_name).folder)
    sets = {_label(study, n): PairSet.open(Mine(study, n).folder) for n in names}
    truth = _truth(study, corpus_name)
    first, end = declared.targets
    targets = drawn_targets(list(sets.values()), end)[first:]
    height = 1.95 * len(sets) + 0.25
    figure = Figure(figsize=(1.55 * (SHOWN + 1) + 0.3, height * len(targets) + 0.45))
    head, *parts = figure.subfigures(len(targets) + 1, 1, squeeze=False, height_ratios=[0.45] + [height] * len(targets), hspace=0)[:, 0]
    head.text(0.005, 0.95, _heading(truth, first), ha="left", va="top", fontsize=8.5, linespacing=1.4)
    for part, target in zip(parts, targets, strict=True):
        _target(part, corpus, sets, target, truth)
    return figure


def drawn_targets(sets: list[PairSet], count: int) -> list[int]:
    """Returns targets drawn at random (seed 0), first of those that every method has hard pairs for, then of the others."""
    order = np.random.default_rng(0).permutation(len(sets[0]))
    have = np.sum([np.diff(s.offsets) > 0 for s in sets], axis=0)
    return [int(i) for i in order[np.argsort(-have[order], kind="stable")]][:count]


def _label(study: Study, name: str) -> str:
    _, spec = study.pairs_entry(name)
    return METHODS[spec.method] + (f"\npool {spec.pool:,}" if spec.pool else "")


def _truth(study: Study, corpus: str) -> Truth | None:
    return Truth.open(BuildCorpus(study, corpus).folder) if study.is_generated(corpus) else None


def _heading(truth: Truth | None, first: int) -> str:
    drawn = f"Targets from number {first + 1} of a random draw (seed 0); their {SHOWN} nearest pairs by each method, nearest first."
    frames = "\nFrame: green is truly hard (at most two attributes apart), orange a false negative (its caption is true of the target)."
    return drawn + (frames if truth else "")


def _target(part: SubFigure, corpus: Corpus, sets: dict[str, PairSet], target: int, truth: Truth | None) -> None:
    room = {"wspace": 0.1, "hspace": 0.5, "left": 0.045, "right": 0.995, "top": 0.955, "bottom": 0.09}
    axes = np.atleast_2d(part.subplots(len(sets), SHOWN + 1, gridspec_kw=room))
    for row, (label, pairs) in zip(axes, sets.items(), strict=True):
        for one in row:
            one.set_axis_off()
        row[0].text(-0.16, 0.5, label, transform=row[0].transAxes, rotation=90, ha="center", va="center", fontweight="bold", fontsize=9)
        for one, j in zip(row[1:], pairs.hard(target)[:SHOWN], strict=False):
            _pair(one, corpus, int(j), _frame(truth, target, int(j)))
        if not len(pairs.hard(target)):
            row[1].text(0, 0.5, "none: too few pairs are near enough, and it counts as noise", transform=row[1].transAxes, fontsize=8)
    _pair(axes[0, 0], corpus, target, INK)
    axes[0, 0].set_title("target", fontsize=8.5, fontweight="bold", pad=3)


def _frame(truth: Truth | None, target: int, hard: int) -> str:
    if truth is None:
        return OTHER
    if truth.caption_true_of(hard, target):
        return FALSE_NEGATIVE
    return TRULY_HARD if truth.truly_hard(target, hard) else OTHER


def _pair(axes: Axes, corpus: Corpus, i: int, frame: str) -> None:
    image = corpus.image(i)
    axes.set_axis_on()
    axes.grid(False)
    axes.imshow(np.asarray(image), interpolation="nearest" if max(image.size) < 96 else "antialiased", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=frame, linewidth=2.6)
    caption = textwrap.fill(textwrap.shorten(corpus.caption(i), 78, placeholder=" …"), 24)
    axes.text(0.5, -0.06, caption, transform=axes.transAxes, ha="center", va="top", fontsize=6.4, linespacing=1.15, parse_math=False)


# ---------------------------------------------------------------- what was mined, against what the generator knows


def _mining_quality(study: Study) -> Figure:
    """One row per pair set, then one per kind of selection, the mean over the starts that selected so. Also writes
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
    for (label, values), colour in zip(shares.items(), (TRULY_HARD, FALSE_NEGATIVE, OTHER), strict=True):
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
        axes.plot([min(means), max(means)], [y, y], color=OTHER, lw=2, zorder=1)
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
