"""The ledger keeps its word: what it names as proof is there."""

import re
from collections import Counter

import yaml


def rows(project) -> list[list[str]]:
    lines = (project / "docs" / "explanation" / "discrepancies.md").read_text().splitlines()
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("| ") and "---" not in line]


def places(project) -> Counter[str]:
    """How many tests `test_name` and `test_file.py::test_name` stand for."""
    counts: Counter[str] = Counter()
    for path in (project / "tests").rglob("test_*.py"):
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE):
            counts.update((name, f"{path.name}::{name}"))
    return counts


def test_every_line_names_one_test_or_a_table_that_exists(project):
    known = places(project)
    declared = yaml.safe_load((project / "experiments" / "paper" / "tables.yaml").read_text())
    for row in rows(project):
        if row[-1] == "Shown by":
            continue
        named = re.findall(r"`(test_[\w.:]+)`", row[-1])
        shown = re.findall(r"tables? (\d+)(?: and (\d+))?|figure (\d+)|claims\.csv|every table", row[-1])
        assert named or shown, row[0]
        assert [(name, known[name]) for name in named] == [(name, 1) for name in named], row[0]
        for numbers in shown:
            assert all(f"table{n}" in declared or n == "11" for n in numbers[:2] if n), row[0]


def test_tables_of_the_ledger_are_whole(project):
    widths: list[int] = []
    for line in (project / "docs" / "explanation" / "discrepancies.md").read_text().splitlines():
        widths = [*widths, line.count("|")] if line.startswith("|") else []
        assert len(set(widths)) <= 1, line
