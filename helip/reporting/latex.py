"""A table as LaTeX (booktabs): our value, its standard deviation, the published number and the difference to it."""

from helip.reporting.inputs import is_of_times
from helip.reporting.rows import Cell, data_of, grid, labels_of, rows_of, source, valued
from helip.study import Study

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}


def latex(study: Study, name: str, cells: list[Cell]) -> str:
    r"""A whole `table*` environment, no wider than the page; it needs \usepackage{booktabs,graphicx}."""
    table = study.tables[name]
    caption = f"{escaped(table.title)} {escaped(source(table))}, study {escaped(study.name)}."
    tabular, meaning = _times(cells) if is_of_times(table) else _values(labels_of(study, name, cells), cells)
    lines = [r"\begin{table*}", r"\centering", r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%", *tabular]
    return "\n".join([*lines, rf"\caption{{{caption} {meaning}}}", rf"\label{{tab:{name}}}", r"\end{table*}", ""])


def _values(labels: dict[str, str], cells: list[Cell]) -> tuple[list[str], str]:
    """A row per run; what a cell means."""
    lines = [rf"\begin{{tabular}}{{ll{'r' * len(labels)}r}}", r"\toprule"]
    lines += [_line(["Data", "Method", *map(escaped, labels.values()), "$n$"]), r"\midrule"]
    before = None
    for row in rows_of(valued(cells)):
        if before not in (None, row[0].corpus):
            lines.append(r"\midrule")
        lines += _row(row, first=row[0].corpus != before)
        before = row[0].corpus
    meaning = r"Value $\pm$ standard deviation over $n$ seeds; below it the published number and ours minus it. Rows in italics are ours."
    return [*lines, r"\bottomrule", r"\end{tabular}}"], meaning


def _times(cells: list[Cell]) -> tuple[list[str], str]:
    """Methods down, corpora across, as table 10 has them; on which machines."""
    methods, corpora = grid((data_of(c), c.method) for c in cells)
    lines = [rf"\begin{{tabular}}{{l{'r' * len(corpora)}}}", r"\toprule", _line(["Method", *map(escaped, corpora)]), r"\midrule"]
    for method in methods:
        found = {data_of(c): c for c in cells if c.method == method}
        lines.append(_line([escaped(method), *(_value(found[d]) if d in found else "-" for d in corpora)]))
        if any(c.published is not None for c in found.values()):
            lines.append(_line(["", *(_published(found[d]) if d in found else "" for d in corpora)]))
    machines = escaped(", ".join(sorted({c.machine for c in cells})))
    meaning = f"Minutes of wall-clock; below them the published ones and ours minus these. One timing each, measured on {machines}."
    return [*lines, r"\bottomrule", r"\end{tabular}}"], meaning


def escaped(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)


def _row(row: list[Cell], first: bool) -> list[str]:
    """One line, and a second in small type where the paper has numbers."""
    method = escaped(row[0].method)
    top = [
        escaped(data_of(row[0])) if first else "",
        rf"\textit{{{method}}}" if row[0].ours else method,
        *map(_value, row),
        str(row[0].n_seeds),
    ]
    lines = [_line(top)]
    if any(cell.published is not None for cell in row):
        lines.append(_line(["", "", *map(_published, row), ""]))
    return lines


def _line(values: list[str]) -> str:
    return " & ".join(values) + r" \\"


def _value(cell: Cell) -> str:
    return f"{cell.value:.2f}{cell.summed}" if cell.std is None else rf"{cell.value:.2f} $\pm$ {cell.std:.2f}"


def _published(cell: Cell) -> str:
    return "" if cell.published is None else rf"{{\scriptsize {cell.published:.2f} (${cell.minus_published:+.2f}$)}}"
