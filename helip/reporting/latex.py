"""A table as LaTeX (booktabs): our value, its standard deviation, the published number and the difference to it."""

from helip.reporting.markdown import data_of, source
from helip.reporting.tables import Cell, labels_of, rows_of
from helip.study import BoundStudy

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}


def latex(study: BoundStudy, name: str, cells: list[Cell]) -> str:
    r"""A whole `table*` environment, no wider than the page; it needs \usepackage{booktabs,graphicx}."""
    table, labels = study.tables[name], labels_of(study, name, cells)
    caption = f"{escaped(table.title)} {escaped(source(table))}, study {escaped(study.name)}."
    meaning = r"Value $\pm$ standard deviation over $n$ seeds; below it the published number and ours minus it. Rows in italics are ours."
    lines = [r"\begin{table*}", r"\centering", r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"]
    lines += [rf"\begin{{tabular}}{{ll{'r' * len(labels)}r}}", r"\toprule"]
    lines += [" & ".join(["Data", "Method", *map(escaped, labels.values()), "$n$"]) + r" \\", r"\midrule"]
    before = None
    for row in rows_of(cells):
        if before not in (None, row[0].corpus):
            lines.append(r"\midrule")
        lines += _row(row, first=row[0].corpus != before)
        before = row[0].corpus
    lines += [r"\bottomrule", r"\end{tabular}}", rf"\caption{{{caption} {meaning}}}", rf"\label{{tab:{name}}}", r"\end{table*}", ""]
    return "\n".join(lines)


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
    lines = [" & ".join(top) + r" \\"]
    if any(cell.published is not None for cell in row):
        lines.append(" & ".join(["", "", *map(_published, row), ""]) + r" \\")
    return lines


def _value(cell: Cell) -> str:
    return f"{cell.value:.2f}{cell.summed}" if cell.std is None else rf"{cell.value:.2f} $\pm$ {cell.std:.2f}"


def _published(cell: Cell) -> str:
    return "" if cell.published is None else rf"{{\scriptsize {cell.published:.2f} (${cell.minus_published:+.2f}$)}}"
