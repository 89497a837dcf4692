"""Habits of the repository: small pieces, no grab-bags, nothing of anybody's machine in it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import congeal

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "congeal"
FILES = sorted(SOURCE.rglob("*.py"))

LONGEST_FUNCTION = 60  # lines, docstring and decorators apart
LONGEST_FILE = 400  # lines
LARGEST_TRACKED_FILE = 4 * 2**20  # bytes; the shipped weights are the largest

# Written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:home|root|Users|work|mnt|media|farm)/\w")
HOSTS = re.compile(r"pypi\.(?:org)|python(?:hosted)|registry\.(?:npmjs)|debian\.(?:org)/")
GRAB_BAGS = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


def tracked() -> list[Path]:
    """Every file under version control; the test is skipped outside a checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, less those of the docstring."""
    first = function.body[0]
    is_docstring = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_functions_fit_on_a_screen() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {body_lines(function)} lines"
        for path in FILES
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if body_lines(function) > LONGEST_FUNCTION
    ]
    assert too_long == []


def test_files_stay_readable_in_one_sitting() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    too_long = [f"{path.relative_to(ROOT)}: {n}" for path, n in lengths.items() if n > LONGEST_FILE]
    assert too_long == []


def test_there_are_no_grab_bags() -> None:
    named = {part for path in FILES for part in path.relative_to(SOURCE).with_suffix("").parts}
    assert {name.strip("_") for name in named}.isdisjoint(GRAB_BAGS)


def test_no_tracked_file_names_a_path_of_a_machine_or_a_package_host() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or weights
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATH.search(line) or HOSTS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("path = '" + "/".join(["", "home", "ada", "cells"]) + "'", True),
        ("see " + "/".join(["", "work", "main"]), True),
        ("../shared/data", False),
        ("src/home/page", False),
        ("https://example.com/home/page", False),
    ],
)
def test_what_counts_as_a_path_of_a_machine(line: str, is_found: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) == is_found


def test_tracked_files_are_small() -> None:
    large = [path for path in tracked() if path.stat().st_size > LARGEST_TRACKED_FILE]
    assert [str(path.relative_to(ROOT)) for path in large] == []


def test_what_tests_share_is_made_once_in_a_process() -> None:
    """Tests that another process stole come back to a module: its fixtures would run again."""
    again = 'pytest.fixture(scope="' + 'module")'
    files = sorted((ROOT / "tests").rglob("*.py"))
    found = [path.name for path in files if again in path.read_text(encoding="utf-8")]
    assert found == []


def test_nothing_is_pickled() -> None:
    """Models are safetensors: opening one from a stranger runs nothing."""
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import) and "pickle" in {alias.name for alias in node.names}:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: import pickle")
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = {key.arg: ast.unparse(key.value) for key in node.keywords}
                if safe.get("weights_only") != "True":
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: torch.load")
    assert found == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").exists()


def test_version_licence_and_papers_are_told_alike_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == congeal.__version__
    assert citation["license"] == project["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert [reference["year"] for reference in citation["references"]] == [2018, 2019, 2020, 2017]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {congeal.__version__}" in changelog


def test_everything_that_is_imported_is_declared() -> None:
    """A package that is only there because another one brought it may go with the other one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^\w-]", need)[0] for need in project["dependencies"]}
    names = {
        "scikit-image": "skimage",
        "scikit-learn": "sklearn",
        "pillow": "PIL",
        "pyyaml": "yaml",
    }
    allowed = {names.get(need, need) for need in declared} | {"congeal"}
    imported = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    assert sorted(imported - allowed - sys.stdlib_module_names) == []


def test_no_result_of_a_run_lies_at_the_root() -> None:
    known = {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md"}
    found = {path.name for path in tracked() if path.parent == ROOT and path.name[0] != "."}
    assert found <= known | {"pyproject.toml"}
