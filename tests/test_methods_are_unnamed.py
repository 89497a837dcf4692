"""Nothing outside methods/, experiments/ and demo/ knows a method by name.

Read from the source: imports, strings, names and attributes. Docstrings, with the examples in them,
and comments may name one.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "congeal"
MAY = ("methods", "experiments", "demo")
# Re-export the classes by name, for type checkers and for people.
EXPORTS = {PACKAGE / "__init__.py"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
POINTS = PROJECT["entry-points"]["congeal.methods"]  # name -> module:class
NAMES = set(POINTS)
HOMES = {place.partition(":")[0] for place in POINTS.values()}
CLASSES = {place.partition(":")[2] for place in POINTS.values()}

FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in MAY and path not in EXPORTS
]


def docstrings(tree: ast.AST) -> set[ast.AST]:
    """The constants that document a module, a class, a function, or what stands before them."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def named(tree: ast.AST) -> Iterator[str]:
    """Where a source names a method, as lines for a message."""
    documents = docstrings(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for module in modules(node):
            if any(module == home or module.startswith(home + ".") for home in HOMES):
                yield f"line {line}: imports {module}"
        if isinstance(node, ast.Constant) and node.value in NAMES and node not in documents:
            yield f"line {line}: the string {node.value!r}"
        for name in identifiers(node):
            if name in CLASSES:
                yield f"line {line}: the name {name}"


def modules(node: ast.AST) -> list[str]:
    """Modules that a node imports, or names in a string."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value] if " " not in node.value else []
    return []


def identifiers(node: ast.AST) -> list[str]:
    """Names that a node uses or defines."""
    if isinstance(node, ast.ImportFrom | ast.Import):
        return [alias.name.rpartition(".")[2] for alias in node.names]
    if isinstance(node, ast.alias):  # its statement tells
        return []
    return [
        getattr(node, field)
        for field in ("id", "attr", "name")
        if isinstance(getattr(node, field, None), str)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_outside_names_a_method(path: Path) -> None:
    assert list(named(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_there_are_methods_that_could_be_named() -> None:
    assert "rpe" in NAMES
    assert "RPE" in CLASSES


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        ('"""Such as rpe."""\nfind_method(name)', 0),
        ('def f():\n    """\n    >>> find_method("rpe")\n    """', 0),
        ('find_method("rpe")', 1),
        ("congeal.RPE()", 1),
        ("from congeal.methods.rpe.config import RPEConfig", 1),
        ("from congeal.methods.rpe import RPE", 2),
        ('import_module("congeal.methods.rpe.model")', 1),
        ("from congeal.methods.method import Method", 0),
        ('if model.name == "rpe":\n    pass', 1),
        ('{"rpe": 1}', 1),
    ],
)
def test_the_reader_of_names_itself(source: str, problems: int) -> None:
    assert len(list(named(ast.parse(source)))) == problems
