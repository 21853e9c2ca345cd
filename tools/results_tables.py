"""The tables of README.md and of the results page that `make readme` reads from the committed results of the studies.

Each stands between two marks. The tests compare it with the results files, so that no number of it is typed in.
"""

import re
from pathlib import Path

from helip.errors import HelipError
from tools import photographs_tables, questions_tables
from tools.markdown_tables import cell
from tools.second_world import second_world

PROJECT = Path(__file__).parents[1]
PAGES = ("README.md", *(f"docs/results/{name}.md" for name in ("index", "photographs", "questions", "second_world")))
FROM_NOTHING = PROJECT / "docs" / "results" / "from_nothing" / "README.md"
FIRST_ROWS = PROJECT / "docs" / "results" / "first_rows.md"  # results/miniature/first/table1.md, as `make table1` printed it
NAMES = ("gains", "printed", "second_world", *photographs_tables.TABLES, *questions_tables.TABLES)
MARKS = {name: (f"<!-- {name}: written by `make readme` -->", f"<!-- end of {name} -->") for name in NAMES}
# What it is called here, and its row in the table of refinements of the earlier miniature study, whose towers were trained from nothing.
ROWS = (
    ("HELIP, as the paper prints it", "HELIP"),
    ("noise pairs left out, the paper's rule", "cleaned by the paper's rule"),
    ("the lowest tenth by s-CLIPLoss left out", "selected by s-CLIPLoss, 10 % dropped"),
    ("HELIP on selected pairs", "HELIP on selected data"),
    ("true hard pairs on truly clean data, a bound", "bound: true hard pairs on truly clean data"),
    ("truly clean data, a bound", "bound: true removal of mismatches"),
)


def gains() -> str:
    """Returns the table: gains over plain continued training in points, with 95 % intervals."""
    lines = ["| Gain over plain continued training, points [95 %] | towers trained from nothing, six corpora |", "| --- | --- |"]
    for label, row in ROWS:
        measured = cell(FROM_NOTHING, {"Refinement": row}, "6 corpora")
        lines.append(f"| {label} | {measured} |".replace("-0.", "−0.").replace("-1.", "−1."))
    return "\n".join([*lines, "", f"The paper's claims there: {verdicts()}"])


def verdicts() -> str:
    """Returns the count of verdicts of the earlier miniature study, as its page states it."""
    line = re.search(r"^\d+ reproduced, .*$", FROM_NOTHING.read_text(), re.MULTILINE)
    if line is None:
        raise HelipError(f"{FROM_NOTHING}: no line counts the verdicts, '3 reproduced, ...'")
    return line[0]


def printed() -> str:
    """Returns the differences that `make table1` prints under its table."""
    _, _, rest = FIRST_ROWS.read_text().partition("## Differences\n")
    lines = [line for line in rest.splitlines() if line.startswith("|")]
    if not lines:
        raise HelipError(f"{FIRST_ROWS}: has no table under '## Differences'")
    return "\n".join(lines)


def filled(page: str) -> str:
    """Returns a page with each table between its marks."""
    tables = {"gains": gains, "printed": printed, "second_world": second_world, **photographs_tables.TABLES, **questions_tables.TABLES}
    for name, text in tables.items():
        begin, end = MARKS[name]
        before, opened, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if bool(opened) != bool(closed):
            raise HelipError(f"a page has one of the marks {begin} and {end}, and needs both")
        page = f"{before}{begin}\n{text()}\n{end}{after}" if opened else page
    return page


if __name__ == "__main__":
    for name in PAGES:
        path = PROJECT / name
        path.write_text(filled(path.read_text()))
        print(path)
