"""One look for all figures: white paper, quiet axes, one colour per arm or method (Okabe and Ito's, which the colour-blind can tell)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

from helip.io import atomic_file

ARMS = {"start": "#7f7f7f", "control": "#0072b2", "cleaned": "#56b4e9", "helip": "#d55e00"}
METHODS = {"hpm": "HPM", "fast_hpm": "FastHPM", "image": "IM", "text": "TM", "random": "random", "truth": "bound: true pairs"}
FALSE_NEGATIVE, TRULY_HARD, OTHER, INK = "#d55e00", "#009e73", "#c9ced6", "#1c2430"

_RC = {
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


@contextlib.contextmanager
def used() -> Iterator[None]:
    with matplotlib.rc_context(_RC):
        yield


def save(figure: Figure, stem: Path) -> list[Path]:
    """stem.png (for the screen) and stem.pdf (for a paper), each whole; no time of day inside, so that the same figure is the same file."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "pdf")]
    for path, metadata in zip(paths, ({"Software": None}, {"CreationDate": None}), strict=True):
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=160, bbox_inches="tight", pad_inches=0.15, metadata=metadata)
    return paths
