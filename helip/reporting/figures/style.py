"""The look that all figures share: white paper, quiet axes, one colour per arm (Okabe and Ito's, which the colour-blind can tell)."""

from typing import Any

INK, QUIET = "#1c2430", "#c9ced6"
ARMS = {"start": "#7f7f7f", "control": "#0072b2", "cleaned": "#56b4e9", "helip": "#d55e00"}
FALSE_NEGATIVE, TRULY_HARD = "#d55e00", "#009e73"
METHODS = {"hpm": "HPM", "fast_hpm": "FastHPM", "image": "IM", "text": "TM", "random": "random", "truth": "bound: true pairs"}

RC: Any = {  # matplotlib's own type is a Literal of each name
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
