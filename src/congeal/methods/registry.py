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
from congeal.tasks import find_task

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
            cannot be imported, is no method, or has another name or no task.

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
    except Exception as error:  # whatever another package does wrong
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CongealError(
            f"cannot import method {name} ({points[name].value}): {reason}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise CongealError(f"expected a subclass of Method for {name}, got {points[name].value}")
    _require_whole(found, points[name])
    return found


def _require_whole(found: type[Method], point: EntryPoint) -> None:
    """Refuse a class that lacks what every method says of itself.

    Raises:
        CongealError: an attribute is missing, the name is another one, or a task is unknown.
    """
    wanted = ("name", "title", "reference", "Config", "tasks")
    missing = [name for name in wanted if not hasattr(found, name)]
    if missing:
        raise CongealError(f"{point.value} lacks {', '.join(missing)}, which every method has")
    if found.name != point.name:
        raise CongealError(
            f"expected {point.value} to be named {point.name!r}, as it is registered, "
            f"got {found.name!r}"
        )
    if not found.tasks:
        raise CongealError(f"expected at least one task of {point.value}, got none")
    for task in found.tasks:
        find_task(task)
