"""A table as a Markdown page: as the paper prints it, then every refinement against plain continued training."""

from helip.reporting.inputs import is_of_times
from helip.reporting.rows import Cell, data_of, grid, labels_of, rows_of, source, valued
from helip.study import Study


def markdown(study: Study, name: str, cells: list[Cell]) -> str:
    table = study.tables[name]
    times = is_of_times(table)
    said = "Minutes of wall-clock, ours (published, ours minus it)." if times else "Ours ± std over seeds (published, ours minus it)."
    lines = [f"# {table.title}", "", f"{source(table)}, study `{study.name}`. {said}", ""]
    lines += _times(cells) if times else _values(study, name, cells)
    if any(cell.ours for cell in cells):
        lines += ["", "Rows in *italics* are ours: the paper does not have them."]
    compared = [row for row in rows_of(cells) if row[0].delta is not None]
    if compared:
        lines += [
            "",
            "## Differences",
            "",
            "Percentage points with a 95 % interval: paired bootstrap over seeds and test items, as wide as Student's.",
            "",
        ]
        lines += _differences(labels_of(study, name, cells), compared)
    return "\n".join([*lines, *(["", table.note] if table.note else []), ""])


def _values(study: Study, name: str, cells: list[Cell]) -> list[str]:
    labels = labels_of(study, name, cells)
    lines = [_row(["Data", "Method", *labels.values(), "Seeds"]), _row(["---"] * (len(labels) + 3))]
    return lines + [_row([data_of(row[0]), _method(row[0]), *map(_value, row), row[0].n_seeds]) for row in rows_of(valued(cells))]


def _times(cells: list[Cell]) -> list[str]:
    """Methods down, corpora across, as table 10 has them."""
    machines = sorted({c.machine for c in cells})
    methods, corpora = grid((data_of(c), c.method) for c in cells)
    lines = [_row(["Method", *corpora]), _row(["---"] * (len(corpora) + 1))]
    for method in methods:
        found = {data_of(c): c for c in cells if c.method == method}
        lines.append(_row([method, *(_value(found[d]) + found[d].summed if d in found else "-" for d in corpora)]))
    return [*lines, "", f"Measured on {', '.join(machines)}; one timing each."]


def _differences(labels: dict[str, str], rows: list[list[Cell]]) -> list[str]:
    lines = [_row(["Method", "minus", *labels.values()]), _row(["---"] * (len(labels) + 2))]
    return lines + [_row([f"{r[0].corpus} {r[0].method}", _reference(r[0]), *map(difference, r)]) for r in rows]


def _reference(cell: Cell) -> str:
    return "each one's own" if cell.corpora > 1 else f"`{cell.reference}`"


def _row(values: list) -> str:
    return f"| {' | '.join(map(str, values))} |"


def _method(cell: Cell) -> str:
    return f"*{cell.method}*" if cell.ours else cell.method


def _value(cell: Cell) -> str:
    spread = "" if cell.std is None else f" ± {cell.std:.2f}"
    published = "" if cell.published is None else f" ({cell.published:.2f}, {cell.minus_published:+.2f})"
    return f"{cell.value:.2f}{spread}{published}"


def difference(cell: Cell) -> str:
    interval = "" if cell.delta_ci_low is None else f" [{cell.delta_ci_low:+.2f}, {cell.delta_ci_high:+.2f}]"
    return f"{cell.delta:+.2f}{interval}"
