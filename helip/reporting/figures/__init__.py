"""The figures that experiments/paper/report.yaml declares, PNG and PDF: accuracy by size of the corpus, hard pairs side by side, and
what was mined against what the generator knows."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

from helip.config import AccuracyBySize, MiningQuality, PairSheet
from helip.errors import HelipError
from helip.io import atomic_file
from helip.reporting.figures import accuracy_by_size, mining_quality, pair_sheet, style
from helip.stages.figure import figures_of
from helip.study import Study


def draw(study: Study, name: str) -> list[Path]:
    """Draws results/<study>/<name>.png and .pdf. HelipError where the study lacks what the figure shows."""
    if name not in [one.figure for one in figures_of(study)]:
        can = ", ".join([one.figure for one in figures_of(study)]) or "none"
        raise HelipError(f"{study.file}: '{name}' is no figure, or the study lacks what it shows; it can draw {can}")
    with matplotlib.rc_context(style.RC):
        match study.report.figures[name]:
            case AccuracyBySize() as declared:
                figure = accuracy_by_size.figure_of(study, declared)
            case PairSheet() as declared:
                figure = pair_sheet.figure_of(study, name, declared)
            case MiningQuality():
                figure = mining_quality.figure_of(study)
        return _save(figure, study.root / name)


def _save(figure: Figure, stem: Path) -> list[Path]:
    """stem.png (for the screen) and stem.pdf (for a paper), each whole; no time of day inside, so that the same figure is the same file."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "pdf")]
    for path, metadata in zip(paths, ({"Software": None}, {"CreationDate": None}), strict=True):
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=160, bbox_inches="tight", pad_inches=0.15, metadata=metadata)
    return paths
