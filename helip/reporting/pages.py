"""Writes a study's tables (CSV, Markdown, LaTeX), claims (CSV, Markdown) and report (HTML page, or a folder of Markdown and PNG).

Every page is a typed document (document.py) printed by one template for each form, in templates/.
"""

import functools
import re
import shutil
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from helip.config import AccuracyBySize, MiningQuality
from helip.errors import HelipError
from helip.io import atomic_file
from helip.reporting.claim_rows import ClaimRow, ClaimsContent, claims_content
from helip.reporting.contrasts import ContrastRow, ContrastsContent, contrasts_content
from helip.reporting.csv_files import write_csv
from helip.reporting.document import Contents, document, drawn_figures, everything, forest, question_table
from helip.reporting.formats import between, p_value, signed
from helip.reporting.headline import table_sentence
from helip.reporting.measured import Measured
from helip.reporting.table_content import TableContent
from helip.reporting.tables import table_content
from helip.stages import DecideClaims, DrawFigure, MakeTable, contrasts_of
from helip.stages.figure import figures_of, measurable_pairs
from helip.stages.table import tables_of
from helip.study import Study

TITLE = "# HELIP, reproduced: "  # how the page begins that report.md.j2 prints
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}


# ---------------------------------------------------------------- templates


def markdown_to_html(text: str, level: int = 1) -> Markup:
    """Returns Markdown (CommonMark and tables) as HTML, headings `level` deeper; HTML in the text is escaped."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll"><table class="words">')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + level)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def latex_escaped(text: str) -> str:
    """Returns text in which nothing means something to LaTeX."""
    return "".join(_LATEX.get(c, c) for c in text)


def markdown_cell(text: str) -> str:
    """Returns text that stands in one cell of a Markdown table."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


@functools.cache
def _template(name: str) -> jinja2.Template:
    """A template of templates/. HTML escapes what is put into it; in LaTeX the marks are << >> and <% %>, since braces are its own."""
    marks: dict[str, Any] = {}
    if name.endswith(".tex.j2"):
        marks = {
            "block_start_string": "<%",
            "block_end_string": "%>",
            "variable_start_string": "<<",
            "variable_end_string": ">>",
            "comment_start_string": "<#",
            "comment_end_string": "#>",
        }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("helip.reporting", "templates"), autoescape=name.endswith(".html.j2"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, **marks,
    )  # fmt: skip
    environment.filters |= {
        "markdown": markdown_to_html,
        "tex": latex_escaped,
        "cell": markdown_cell,
        "signed": signed,
        "between": between,
        "p_value": p_value,
        "sentence": table_sentence,
    }
    environment.globals |= {"forest": forest}
    return environment.get_template(name)


def _print(name: str, **contents: Any) -> str:
    return re.sub(r"\n{3,}", "\n\n", _template(name).render(**contents)).strip() + "\n"


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- tables and claims


def table_markdown(table: TableContent) -> str:
    """Returns a table as a Markdown page: as the paper prints it, then every refinement against plain continued training."""
    return _print("report.md.j2", part="table", table=table)


def table_latex(table: TableContent) -> str:
    r"""Returns a whole `table*` environment, no wider than the page; it needs \usepackage{booktabs,graphicx}."""
    return _print("table.tex.j2", table=table)


def write_table(study: Study, name: str, finished: bool = False) -> str:
    """Builds results/<study>/<name>.csv, .md and .tex; returns the Markdown. finished: of the rows whose runs are done."""
    return _write_table(study, table_content(study, name, finished))


def _write_table(study: Study, table: TableContent) -> str:
    page = table_markdown(table)
    write_csv(study.root / f"{table.name}.csv", table.fields, table.cells)
    _write(study.root / f"{table.name}.md", page)
    _write(study.root / f"{table.name}.tex", table_latex(table))
    return page


def claims_markdown(claims: ClaimsContent) -> str:
    """Returns the claims as a Markdown page."""
    return _print("report.md.j2", part="claims", claims=claims)


def write_claims(study: Study) -> ClaimsContent:
    """Builds results/<study>/claims.csv and claims.md; returns what stands in them."""
    return _write_claims(study, claims_content(study))


def _write_claims(study: Study, claims: ClaimsContent) -> ClaimsContent:
    write_csv(study.root / "claims.csv", ClaimRow, claims.rows)
    _write(study.root / "claims.md", claims_markdown(claims))
    return claims


def contrasts_markdown(contrasts: ContrastsContent) -> str:
    """Returns the primary contrasts as a Markdown page."""
    return _print("report.md.j2", part="contrasts", contrasts=contrasts)


def write_contrasts(study: Study) -> str:
    """Builds results/<study>/contrasts.csv and contrasts.md; returns the Markdown."""
    return _write_contrasts(study, contrasts_content(study))


def _write_contrasts(study: Study, contrasts: ContrastsContent) -> str:
    page = contrasts_markdown(contrasts)
    write_csv(study.root / "contrasts.csv", ContrastRow, contrasts.rows)
    _write(study.root / "contrasts.md", page)
    return page


# ---------------------------------------------------------------- the report


def finished(study: Study) -> Contents:
    """Makes the tables, claims and figures again, of what is there, and says how much that is."""
    from helip.reporting.figures import draw  # matplotlib is slow to import, and a table needs none

    measured = Measured(study, [])
    made = [table_content(study, name, finished=True, measured=measured) for name in [one.table for one in tables_of(study)]]
    for table in made:
        _write_table(study, table)
    claims = _write_claims(study, claims_content(study, measured))
    contrasts = contrasts_content(study, measured) if study.declaration.contrasts else None
    if contrasts:
        _write_contrasts(study, contrasts)
    drawn = [name for name in [one.figure for one in figures_of(study)] if _can_be_drawn(study, name, measured)]
    for name in drawn:
        draw(study, name)
    wanted = list(dict.fromkeys(path for one in (DecideClaims(study), *contrasts_of(study)) for path in one.inputs()))
    there = sum(path.exists() for path in wanted)
    note = f"**Under way:** {there:,} of {len(wanted):,} files are there. Rows and figures that wait for others are left out."
    return Contents(
        tuple(table for table in made if table.cells), claims, drawn_figures(study, drawn), question_table(study, measured),
        contrasts, note if there < len(wanted) else "",
    )  # fmt: skip


def _can_be_drawn(study: Study, name: str, measured: Measured) -> bool:
    match study.report.figures[name]:
        case AccuracyBySize(table=table):
            return any(measured.is_there(run, study.tables[table].columns) for run in MakeTable(study, table).runs())
        case MiningQuality():
            return bool([one.pairs for one in measurable_pairs(study)])
    return all(path.exists() for path in DrawFigure(study, name).inputs())


def write_report(study: Study, shown: Contents | None = None) -> Path:
    """Builds results/<study>/report.html, one self-contained page, of everything unless `shown` says what."""
    path = study.root / "report.html"
    _write(path, _print("report.html.j2", document=document(study, shown or everything(study))))
    return path


def write_pages(study: Study, folder: Path, shown: Contents | None = None) -> Path:
    """Builds a folder for a repository: README.md with the report in it, and the figures beside it. Other files there are left alone.

    Raises HelipError where the folder's README.md is of something else.
    """
    page = folder / "README.md"
    if page.exists() and not page.read_text(encoding="utf-8", errors="replace").startswith(TITLE):
        raise HelipError(f"{page}: is no page of a report, and would be replaced; name another folder")
    shown = shown or everything(study)
    text = _print("report.md.j2", part="report", document=document(study, shown))
    for figure in shown.figures:
        with atomic_file(folder / figure.path.name) as temporary:
            shutil.copyfile(figure.path, temporary)
    _write(page, text)
    return page
