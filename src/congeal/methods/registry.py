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

__all__ = [
    "DEFAULT_METHOD",
    "class_homes",
    "find_method",
    "method_classes",
    "method_names",
    "method_tasks",
]

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


def find_method(name: str, task: str | None = None) -> type[Method]:
    """Import a method by name.

    A name may stand for several classes, each for some of its tasks (:attr:`Method.siblings`).

    Args:
        name: of the method.
        task: the class has to do it; None: the first that the method does.

    Raises:
        CongealError: there is none of that name, or it does not do the task (the nearest is
            suggested), or what is registered cannot be imported, is no method, or has another
            name or no task.

    Example:
        >>> find_method("rpe").tasks
        ('instances',)
    """
    points = _points()
    if name not in points:
        raise unknown("method", name, points)
    found = _class_of(name, points[name])
    if task is None or task in found.tasks:
        return found
    find_task(task)
    if task not in found.siblings:
        raise unknown(f"task of {name}", task, [*found.tasks, *found.siblings])
    return _class_of(name, EntryPoint(name, found.siblings[task], GROUP), task)


def method_tasks(name: str) -> tuple[str, ...]:
    """All tasks that a method does, the default one first.

    Raises:
        CongealError: as for :func:`find_method`.

    Example:
        >>> method_tasks("discriminative")
        ('instances', 'semantic')
    """
    found = find_method(name)
    return (*found.tasks, *(task for task in found.siblings if task not in found.tasks))


def method_classes(name: str) -> tuple[type[Method], ...]:
    """The classes that a method's name stands for, that of its default task first.

    Raises:
        CongealError: as for :func:`find_method`.

    Example:
        >>> [kind.__name__ for kind in method_classes("dvis")]
        ['DVIS']
    """
    return tuple(dict.fromkeys(find_method(name, task) for task in method_tasks(name)))


def _class_of(name: str, point: EntryPoint, task: str | None = None) -> type[Method]:
    from congeal.methods.method import Method  # late: loads PyTorch

    try:
        found = point.load()
    except Exception as error:  # whatever another package does wrong
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CongealError(f"cannot import method {name} ({point.value}): {reason}") from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise CongealError(f"expected a subclass of Method for {name}, got {point.value}")
    _require_whole(found, point)
    if task is not None and task not in found.tasks:
        raise CongealError(f"expected {point.value} to do {task}, got {', '.join(found.tasks)}")
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
