"""No variable, attribute or parameter has a name that tells its reader nothing; a test's name is short enough to read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
MEANINGLESS = {"said", "found", "about"}  # say what it is: options, matches, metadata
FOLDERS = ("helip", "slurm", "benchmarks", "tests", "tools")
LONGEST = 60  # characters of a test's name


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields (line, name) of every variable, attribute, parameter, keyword, import and definition of a module."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.AsyncFunctionDef(name=name) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.keyword(arg=str(name)) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.alias(name=name, asname=other):
                yield node.lineno, other or name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from ((node.lineno, name) for name in names)


def meaningless(source: str) -> list[tuple[int, str]]:
    """Returns (line, name) of each name that is not allowed."""
    return [(line, name) for line, name in bound_names(ast.parse(source)) if name.lower() in MEANINGLESS]


def test_no_name_is_said_found_or_about():
    files = [path for folder in FOLDERS for path in sorted((PROJECT / folder).rglob("*.py"))]
    wrong = [f"{path.relative_to(PROJECT)}:{line}: {name}" for path in files for line, name in meaningless(path.read_text())]
    assert len(files) > 200
    assert not wrong, "name what it is:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "def f(about): pass",
        "f(said=1)",
        "x.found",
        "def found(): pass",
        "class About: pass",
        "ABOUT = 1",
        "from x import y as said",
        "[0 for found in x]",
        "(found := 1)",
        "match x:\n case {'a': found}: pass",
        "try: pass\nexcept E as said: pass",
    ],
)
def test_each_place_of_a_name_is_seen(source):
    assert len(meaningless(source)) == 1


def test_keys_and_words_within_names_are_allowed():
    assert meaningless("x['found'] = about_time = 'said'") == []


def test_names_of_tests_have_at_most_60_characters():
    tests = [
        (path.name, node.name)
        for path in sorted((PROJECT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(tests) > 500
    assert not [test for test in tests if len(test[1]) > LONGEST]
