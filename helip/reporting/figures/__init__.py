"""The figures that experiments/paper/report.yaml declares, PNG and PDF: accuracy by size of the corpus, hard pairs side by side, and
what was mined against what the generator knows."""

import io
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure
from PIL import Image

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
    png, pdf, drawn = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf"), io.BytesIO()
    placed: dict[str, Any] = {"dpi": 160, "bbox_inches": "tight", "pad_inches": 0.15}
    figure.savefig(drawn, format="png", metadata={"Software": None}, **placed)
    with atomic_file(png) as temporary, Image.open(drawn) as image:  # 256 colours: a sheet of images takes a third of the bytes
        image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(temporary, "PNG", optimize=True)
    with atomic_file(pdf) as temporary:
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None}, **placed)
    return [png, pdf]
