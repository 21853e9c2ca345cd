"""The report as a folder of Markdown and PNG, for a repository: README.md with everything in it, and the figures beside it."""

import re
import shutil
from pathlib import Path

from helip.errors import HelipError
from helip.io import atomic_folder
from helip.reporting.answer import answer, matrix, question_rows
from helip.reporting.claims_table import decided_claims
from helip.reporting.contamination import contamination
from helip.reporting.contents import Contents, everything
from helip.reporting.costs import costs, made
from helip.reporting.figures import TITLES
from helip.reporting.inputs import question
from helip.study import Study


def write_pages(study: Study, folder: Path, shown: Contents | None = None) -> Path:
    """Builds the folder from a study's tables, claims and figures; HelipError names what is not built yet."""
    shown = shown or everything(study)
    if folder.exists() and not (folder / "README.md").exists() and any(folder.iterdir()):
        raise HelipError(f"{folder}: holds other files than a report's, and would be replaced; name another folder")
    drawn = [study.root / f"{name}.png" for name in shown.figures]
    if missing := [path for path in drawn if not path.exists()]:
        raise HelipError(f"{missing[0]}: not found; build it first (`snakemake {missing[0]}`)")
    page = _page(study, shown)
    with atomic_folder(folder) as temporary:
        (temporary / "README.md").write_text(page)
        for path in drawn:
            shutil.copyfile(path, temporary / path.name)
    return folder / "README.md"


def _page(study: Study, shown: Contents) -> str:
    claims = decided_claims(study).rows
    parts = [
        f"# HELIP, reproduced: study `{study.name}`",
        study.declaration.question,
        made(costs(study)),
        f"Made by `helip report --study {study.name} --markdown`; no number in it was typed in.",
        "## Does refinement beat plain continued training?",
        shown.note,
        answer(study, claims),
        matrix(study),
        "## The paper's claims",
        *_text(study, "claims.md").split("\n\n")[1:],
        "## Figures",
        *(f"![{TITLES[name]}]({name}.png)\n\n{_number(name)}. {TITLES[name]}." for name in shown.figures),
        *(_table(study, name) for name in [*([question(study)] if question_rows(study) else []), *shown.tables]),
    ]
    counted = contamination(study)
    parts += ["## Evaluation images among the training images", counted] if counted else []
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _number(name: str) -> str:
    return re.sub(r"(\D+)(\d+)", r"\1 \2", name.removeprefix("first/")).capitalize()


def _table(study: Study, name: str) -> str:
    """The table's own page, its headings one level deeper."""
    text = re.sub(r"^#(?=#* )", "##", _text(study, f"{name}.md"), flags=re.MULTILINE)
    return text.replace("## ", f"## {_number(name)}. ", 1)


def _text(study: Study, file: str) -> str:
    path = study.root / file
    if not path.exists():
        raise HelipError(f"{path}: not found; build it first (`snakemake {path.with_suffix('.csv')}`)")
    return path.read_text()
