"""Hard pairs side by side: targets drawn at random, and what each method mined for them."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from helip.config import PairSheet
from helip.data.corpus import Corpus
from helip.mining.pairs import PairSet
from helip.reporting.figures.style import FALSE_NEGATIVE, INK, METHODS, QUIET, TRULY_HARD
from helip.stages import BuildCorpus, Mine
from helip.stages.figure import sheet_pairs
from helip.study import Study
from helip.synthetic.truth import Truth

SHOWN = 5  # hard pairs of a target, the nearest first


def figure_of(study: Study, name: str, declared: PairSheet) -> Figure:
    """Returns the figure: targets and their hard pairs, image over caption, one row per method. Targets are drawn, never chosen by eye."""
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
        return QUIET
    if truth.caption_true_of(hard, target):
        return FALSE_NEGATIVE
    return TRULY_HARD if truth.truly_hard(target, hard) else QUIET


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
