"""report.html: one self-contained page from a study's finished tables and figures, and its claims as they are decided."""

import base64
import csv
import re
from importlib.resources import files
from pathlib import Path

from helip.errors import HelipError
from helip.io import atomic_file
from helip.reporting.answer import answer, matrix
from helip.reporting.claims_table import DecidedClaims, decided_claims
from helip.reporting.contamination import contamination
from helip.reporting.contents import Contents, everything
from helip.reporting.figures import TITLES
from helip.reporting.html import details, escape, markdown, section, words
from helip.reporting.inputs import is_of_times, ledger, question
from helip.reporting.machinery import digests, facts, times
from helip.reporting.rows import CONTRAST, column_labels, grid
from helip.reporting.verdicts import verdicts
from helip.study import Study


def write_report(study: Study, shown: Contents | None = None) -> Path:
    """Builds results/<study>/report.html, of everything unless `shown` says what."""
    shown = shown or everything(study)
    numbered = [name for name in shown.tables if name != "figure4"]
    claims = decided_claims(study)
    parts = {
        "answer": section("answer", "Does refinement beat plain continued training?", markdown(_first(study, claims, shown))),
        "verdicts": verdicts(claims),
        "question": _question(study),
        "tables": section("tables", "Tables", _contents(numbered), _tables_note(), *(_table(study, name) for name in numbered)),
        "figures": _figures(study, shown.figures),
        "contamination": _contamination(study),
        "ledger": _ledger(study),
        "times": times(study),
        "versions": digests(study),
    }
    path = study.root / "report.html"
    with atomic_file(path) as temporary:
        temporary.write_text(_page(study, {k: v for k, v in parts.items() if v}), encoding="utf-8")
    return path


def _first(study: Study, claims: DecidedClaims, shown: Contents) -> str:
    return "\n\n".join(part for part in (answer(study, claims.rows), shown.note) if part)


def _page(study: Study, parts: dict[str, str]) -> str:
    names = {"answer": "Refine or train on?", "verdicts": "Verdicts", "question": "Table 11", "tables": "Tables", "figures": "Figures",
             "contamination": "Contamination", "ledger": "Discrepancies", "times": "Times", "versions": "Versions"}  # fmt: skip
    links = "".join(f'<a href="#{k}">{names[k]}</a>' for k in parts)
    css = (files("helip.reporting") / "report.css").read_text()
    title = f"HELIP, reproduced: study {study.name}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><link rel="icon" href="data:,"><style>
{css}</style></head><body>
<header><h1>{escape(title)}</h1><p>{escape(study.declaration.question)}</p>
<p class="quiet">“Getting More Juice Out of Your Data: Hard Pair Refinement Enhances Visual-Language Models Without Extra Data”,
<a href="https://arxiv.org/abs/2305.05208">arXiv 2305.05208</a>: every number below is measured here or printed there.</p>
{facts(study)}</header>
<nav aria-label="Sections"><div>{links}</div></nav>
<main>
{chr(10).join(parts.values())}
</main>
<footer>Made by <code>helip report --study {escape(study.name)}</code> from the metrics files of the study.</footer>
</body></html>
"""


def read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="") as f:
            return list(csv.DictReader(f))
    except FileNotFoundError:
        raise HelipError(f"{path}: not found; build it first (`snakemake {path}`)") from None


# ---------------------------------------------------------------- tables


def _tables_note() -> str:
    return (
        "<p>In each cell: our mean ± standard deviation over seeds; the published number in small type; for refinements, the difference to "
        "the control with its 95 % interval, coloured where p is at most 5 %, uncorrected. Rows in italics are not in the paper.</p>"
    )


def _contents(names: list[str]) -> str:
    links = (f"<a href='#{name}'>{name.removeprefix('table')}</a>" for name in names)
    return f"<p>Table {' · '.join(links)}</p>"


def _question(study: Study) -> str:
    """Table 11 where it was made: what each refinement adds to plain continued training, then every number."""
    short = matrix(study)
    if not short:
        return ""
    said = (
        "<p>The same steps and batch size for all, settings fixed before looking. Differences to the control in points, averaged over "
        "the classification sets, with 95 % intervals.</p>"
    )
    whole = details("Every number of table 11", _tables_note() + _table(study, question(study)))
    return section("question", "Table 11: what beats plain continued training?", said, markdown(short), whole)


def _table(study: Study, name: str) -> str:
    table, cells = study.tables[name], read_rows(study.root / f"{name}.csv")
    said = f"<h3 id='{name}'>{escape(table.title)}</h3><p class='quiet'>{escape(table.place)}</p>"
    note = f"<p class='quiet'>{escape(table.note)}</p>" if table.note else ""
    return said + (_of_times(cells) if is_of_times(table) else _of_values(study, name, cells)) + note


def _of_values(study: Study, name: str, cells: list[dict[str, str]]) -> str:
    labels = column_labels(study.tables[name], [c["column"] for c in cells])
    rows: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for cell in (c for c in cells if c["arm"] != CONTRAST):
        rows.setdefault((cell["corpus"], cell["method"], cell["run"]), []).append(cell)
    head = "<th class='name'>Method</th>" + "".join(f"<th>{escape(label)}</th>" for label in labels.values()) + "<th>Seeds</th>"
    body, group = [], None
    for row in rows.values():
        if row[0]["corpus"] != group:
            group = row[0]["corpus"]
            body.append(f"<tr class='group'><td colspan='{len(labels) + 2}'>{escape(_data(row[0]))}</td></tr>")
        kind = "ours" if row[0]["ours"] == "True" else row[0]["arm"]
        values = "".join(map(_value, row))
        body.append(f"<tr class='{kind}'><td class='name'>{escape(row[0]['method'])}</td>{values}<td>{row[0]['n_seeds']}</td></tr>")
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def _data(cell: dict[str, str]) -> str:
    share = f", {100 * float(cell['recovered']):.0f} % recovered" if cell["recovered"] and float(cell["recovered"]) < 1 else ""
    return f"{cell['corpus']} ({cell['data']}{share})" if cell["data"] or share else cell["corpus"]


def _value(cell: dict[str, str]) -> str:
    spread = f" ± {float(cell['std']):.2f}" if cell["std"] else ""
    lines = [f"{float(cell['value']):.2f}{spread}"]
    if cell["published"]:
        lines.append(f"<small class='quiet'>paper {float(cell['published']):.2f} ({float(cell['minus_published']):+.2f})</small>")
    if cell["delta"]:
        low, high = (float(cell[k]) if cell[k] else None for k in ("delta_ci_low", "delta_ci_high"))
        shown = cell["delta_p"] and float(cell["delta_p"]) <= 0.05
        tone = ("up" if float(cell["delta"]) > 0 else "down") if shown else "quiet"
        between = "" if low is None else f" [{low:+.1f}, {high:+.1f}]"
        lines.append(f"<small class='{tone}' title='minus {escape(cell['reference'])}'>{float(cell['delta']):+.2f}{between}</small>")
    return f"<td>{''.join(lines)}</td>"


def _of_times(cells: list[dict[str, str]]) -> str:
    methods, corpora = grid((_data(c), c["method"]) for c in cells)
    rows = []
    for method in methods:
        found = {_data(c): c for c in cells if c["method"] == method}
        rows.append([method, *(_minutes(found.get(d)) for d in corpora)])
    machines = ", ".join(sorted({c["machine"] for c in cells}))
    return words(["Method", *corpora], rows) + f"<p class='quiet'>Minutes, ours (paper). One timing each, on {escape(machines)}.</p>"


def _minutes(cell: dict[str, str] | None) -> str:
    if cell is None:
        return "-"
    summed = f"<br><small class='quiet'>summed over {cell['jobs']} jobs</small>" if int(cell["jobs"] or 1) > 1 else ""
    return f"{float(cell['value']):.2f}" + (f" ({float(cell['published']):.0f})" if cell["published"] else "") + summed


# ---------------------------------------------------------------- figures and the ledger


def _figures(study: Study, names: list[str]) -> str:
    drawn = [(name, study.root / f"{name}.png") for name in names]
    if missing := [path for _, path in drawn if not path.exists()]:
        raise HelipError(f"{missing[0]}: not found; build it first (`snakemake {missing[0]}`)")
    shown = "".join(_figure(name, path) for name, path in drawn)
    return section("figures", "Figures", shown) if shown else ""


def _figure(name: str, path: Path) -> str:
    number = re.sub(r"\D", "", name)
    title = f"Figure {number}. {TITLES[name]}." + (" The paper has no such figure." if name == "figure8" else "")
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
    return f'<figure id="{name}"><div class="narrow-scroll">{image}</div><figcaption>{escape(title)}</figcaption></figure>'


def _contamination(study: Study) -> str:
    counted = contamination(study)
    return section("contamination", "Evaluation images among the training images", markdown(counted)) if counted else ""


def _ledger(study: Study) -> str:
    """docs/discrepancies.md, without its title."""
    if not ledger(study).exists():
        return ""
    text = re.sub(r"^# .*\n", "", ledger(study).read_text())
    return section("ledger", "Where paper, released code and this project differ", details("The ledger", markdown(text), is_open=True))
