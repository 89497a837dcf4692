"""Methods by name: built-in ones and those of other packages register by the same entry points.

A package adds a method by a line of its ``pyproject.toml``::

    [project.entry-points."congeal.methods"]
    toy = "my_package.toy:Toy"
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from congeal.errors import CongealError, unknown

if TYPE_CHECKING:
    from congeal.methods.method import Method

__all__ = ["DEFAULT_METHOD", "class_homes", "find_method", "method_names"]

GROUP = "congeal.methods"
DEFAULT_METHOD = "rpe"


@cache
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def method_names() -> list[str]:
    """Names of all registered methods, without importing any.

    Example:
        >>> "rpe" in method_names()
        True
    """
    return sorted(_points())


def class_homes() -> dict[str, str]:
    """Modules of the classes of all registered methods, by the name of the class."""
    return {point.attr: point.module for point in _points().values()}


def find_method(name: str) -> type[Method]:
    """Import a method by name.

    Raises:
        CongealError: there is none of that name (the nearest is suggested), or what is registered
            cannot be imported or is no method.

    Example:
        >>> find_method("rpe").tasks
        ('instances',)
    """
    from congeal.methods.method import Method  # late: loads PyTorch

    points = _points()
    if name not in points:
        raise unknown("method", name, points)
    try:
        found = points[name].load()
    except (ImportError, AttributeError) as error:
        raise CongealError(
            f"cannot import method {name} ({points[name].value}): {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise CongealError(f"expected a subclass of Method for {name}, got {points[name].value}")
    return found
