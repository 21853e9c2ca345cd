"""Reads the tables of a Markdown page that `helip report --markdown` wrote, which is the committed form of a study's results."""

import re
from pathlib import Path

from helip.errors import HelipError

Table = list[dict[str, str]]


def tables_of(page: Path) -> list[Table]:
    """Returns the tables of a page: for each row its cells by the header of their column, without emphasis."""
    tables: list[Table] = []
    header: list[str] = []
    for line in page.read_text().splitlines():
        if not line.startswith("|"):
            header = []
        elif not header:
            header = _cells(line)
            tables.append([])
        elif not re.fullmatch(r"[\s|:-]+", line):
            tables[-1].append(dict(zip(header, _cells(line), strict=False)))
    return tables


def _cells(line: str) -> list[str]:
    return [re.sub(r"^\*+|\*+$", "", cell.strip()).strip("`") for cell in line.strip().strip("|").split(" | ")]


def cell(page: Path, rows: dict[str, str], column: str) -> str:
    """Returns a cell of a page: of the last row that has the given cells, among the tables that have all these columns.

    Raises HelipError where there is none: a page that was made anew may name its rows differently.
    """
    matches = [
        row[column]
        for table in tables_of(page)
        for row in table
        if column in row and all(row.get(name) == value for name, value in rows.items())
    ]
    if not matches:
        raise HelipError(f"{page}: no table has a row {' / '.join(rows.values())} and a column '{column}'")
    return matches[-1]
