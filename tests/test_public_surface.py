"""The public names are frozen: adding or losing one is a decision, seen in the difference.

`tests/public_surface.txt` holds every name of `congeal.__all__` and of the `__all__` of every
public module and subpackage directly below it. After a change on purpose, rewrite it with

    .venv/bin/python tests/test_public_surface.py
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import congeal

FROZEN = Path(__file__).with_name("public_surface.txt")
MODULES = [
    "congeal",
    *sorted(
        f"congeal.{found.name}"
        for found in pkgutil.iter_modules(congeal.__path__)
        if not found.name.startswith("_")
    ),
]


def surface() -> list[str]:
    """Every public name, such as `congeal.errors.CongealError`, in order of the alphabet."""
    return sorted(
        f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__
    )


def test_the_public_names_are_the_frozen_ones() -> None:
    frozen = FROZEN.read_text(encoding="utf-8").split()
    now = surface()
    assert (sorted(set(now) - set(frozen)), sorted(set(frozen) - set(now))) == ([], []), (
        "names added, names lost; if on purpose, run this file with python and commit the list"
    )


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_exists_and_says_what_it_is(module: str) -> None:
    home = importlib.import_module(module)
    assert home.__doc__
    for name in home.__all__:
        value = getattr(home, name)
        if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), f"{module}.{name} has no docstring"


def test_lazy_names_are_the_very_objects_they_stand_for() -> None:
    from congeal.errors import CongealError

    assert congeal.CongealError is CongealError
    assert set(dir(congeal)) == set(congeal.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sgment'"):
        _ = congeal.sgment


def test_a_star_import_brings_what_is_public() -> None:
    code = "from congeal import *; print(segment.__name__, RPE.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["segment", "RPE"]


def test_the_version_is_the_one_that_is_installed() -> None:
    from importlib.metadata import version

    assert version("congeal") == congeal.__version__


if __name__ == "__main__":
    FROZEN.write_text("\n".join(surface()) + "\n", encoding="utf-8")
    print(f"{os.path.relpath(FROZEN)}: {len(surface())} names")
