"""Every public class, function and method says what it is for; found by reading the code, without importing it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "helip"

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def undocumented(source: str, documented: set[str] | None = None) -> Iterator[str]:
    """Yields the names of public classes, functions and methods without a docstring.

    documented: names of methods that some class of the package documents: where a class has bases, its override needs no other text.
    """
    documented = documented or set()

    def walk(body: list[ast.stmt], prefix: str, inherits: bool) -> Iterator[str]:
        for node in body:
            if not isinstance(node, Definition) or node.name.startswith("_"):
                continue
            setter = any(isinstance(d, ast.Attribute) and d.attr in ("setter", "deleter") for d in node.decorator_list)
            overrides = inherits and node.name in documented
            if not setter and not overrides and not (ast.get_docstring(node) or "").strip():
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}.", bool(node.bases))

    yield from walk(ast.parse(source).body, "", False)


def documented_methods() -> set[str]:
    """The names of methods that a class of the package documents."""
    classes = (n for path in PACKAGE.rglob("*.py") for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef))
    return {m.name for c in classes for m in c.body if isinstance(m, ast.FunctionDef) and ast.get_docstring(m)}


def test_public_names_have_docstrings():
    documented = documented_methods()
    missing = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in undocumented(path.read_text(), documented)
    ]
    assert not missing, "without a docstring:\n" + "\n".join(missing)


def test_every_module_has_a_docstring():
    sources = {path.relative_to(PACKAGE): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    assert not [str(path) for path, source in sources.items() if source and not ast.get_docstring(ast.parse(source))]


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("def f(): pass", ["f"]),
        ("async def f(): pass", ["f"]),
        ("def _f(): pass", []),
        ('def f():\n """It does."""', []),
        ('def f():\n """ """', ["f"]),
        ("class C:\n def m(self): pass\n def __len__(self): return 0\n def _p(self): pass", ["C", "C.m"]),
        ('class C:\n """A."""\n class D:\n  def m(self): pass', ["C.D", "C.D.m"]),
        ('class C:\n """A."""\n @property\n def p(self): return 0\n @p.setter\n def p(self, v): pass', ["C.p"]),
        ('class C(B):\n """A."""\n def known(self): pass\n def other(self): pass', ["C.other"]),
        ('class C:\n """A."""\n def known(self): pass', ["C.known"]),
        ("class _C:\n def m(self): pass", []),
    ],
)
def test_what_counts_as_undocumented(source, missing):
    assert list(undocumented(source, {"known"})) == missing
