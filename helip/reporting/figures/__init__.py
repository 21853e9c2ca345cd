"""The paper's figures from what a study made, PNG and PDF: 4 (size), 5, 6, 7 (hard pairs side by side), and one the paper lacks (8)."""

from pathlib import Path

from helip.errors import HelipError
from helip.reporting.inputs import SHEETS, figures
from helip.study import Study

TITLES = {
    "figure4": "Zero-shot ImageNet accuracy by size of the corpus, with and without HELIP",
    "figure5": "Hard pairs chosen by pair (HPM), by image alone (IM) and by text alone (TM)",
    "figure6": "Hard pairs found in the whole corpus (HPM) and in random pools (FastHPM)",
    "figure7": "More hard pairs, chosen by HPM, IM and TM",
    "figure8": "What was mined, against what the generator knows",
}


def draw(study: Study, name: str) -> list[Path]:
    """results/<study>/<name>.png and .pdf. HelipError where the study lacks what the figure shows."""
    if name not in figures(study):
        can = ", ".join(figures(study)) or "none"
        raise HelipError(f"{study.file}: '{name}' is no figure, or the study lacks what it shows; it can draw {can}")
    from helip.reporting.figures import accuracy_by_size, mining_quality, pair_sheets, style

    with style.used():
        match name:
            case "figure4":
                figure = accuracy_by_size.draw(study)
            case "figure8":
                figure = mining_quality.draw(study)
            case _ if name in SHEETS:
                figure = pair_sheets.draw(study, name)
        return style.save(figure, study.root / name)
