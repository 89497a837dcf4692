"""Registry of methods. Built-in methods and those of other packages use the same entry points.

A package adds a method with an entry point in its ``pyproject.toml``::

    [project.entry-points."congeal.methods"]
    toy = "my_package.toy:Toy"
"""

from __future__ import annotations

from collections.abc import Sequence
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
    "wrong_task",
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
    """Modules of the classes of all registered methods, by name of the class.

    Example:
        >>> class_homes()["RPE"]
        'congeal.methods.rpe'
    """
    return {point.attr: point.module for point in _points().values()}


def find_method(name: str, task: str | None = None) -> type[Method]:
    """Import the class of a method.

    A name may stand for several classes, each for some of its tasks (:attr:`Method.siblings`).

    Args:
        name: name of the method.
        task: task that the class must do; None: the default task of the method.

    Raises:
        CongealError: the name is unknown (the nearest is suggested); the method does not do the
            task; or the registered object cannot be imported, is no subclass of Method, or has
            another name or no task.

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
        raise wrong_task(name, task, (*found.tasks, *found.siblings))
    return _class_of(name, EntryPoint(name, found.siblings[task], GROUP), task)


def wrong_task(name: str, task: str, tasks: Sequence[str]) -> CongealError:
    """Make the error for a method that does not do a task, with the methods that do it.

    Args:
        name: name of the method or of its class.
        task: task that was asked for.
        tasks: tasks that the method does.

    Example:
        >>> str(wrong_task("dvis", "proposals", ["instances"]))
        "expected a method for task 'proposals' (...), got dvis, which does instances"
    """
    able = ", ".join(other for other in method_names() if _does(other, task))
    return CongealError(
        f"expected a method for task {task!r} ({able or 'there is none'}), got {name}, "
        f"which does {', '.join(tasks)}"
    )


def _does(name: str, task: str) -> bool:
    """Whether a method does a task; False for a method that cannot be imported."""
    try:
        return task in method_tasks(name)
    except CongealError:
        return False


def method_tasks(name: str) -> tuple[str, ...]:
    """All tasks of a method, the default task first.

    Args:
        name: name of the method.

    Raises:
        CongealError: as for :func:`find_method`.

    Example:
        >>> method_tasks("discriminative")
        ('instances', 'semantic')
    """
    found = find_method(name)
    return (*found.tasks, *(task for task in found.siblings if task not in found.tasks))


def method_classes(name: str) -> tuple[type[Method], ...]:
    """All classes that a method's name stands for, that of the default task first.

    Args:
        name: name of the method.

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
    except Exception as error:  # importing another package may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CongealError(f"cannot import method {name} ({point.value}): {reason}") from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise CongealError(f"expected a subclass of Method for {name}, got {point.value}")
    _require_attributes(found, point)
    if task is not None and task not in found.tasks:
        raise CongealError(f"expected {point.value} to do {task}, got {', '.join(found.tasks)}")
    return found


def _require_attributes(found: type[Method], point: EntryPoint) -> None:
    """Check the class attributes of a method.

    Raises:
        CongealError: an attribute is missing, the name differs from the registered one, or a task
            is unknown.
    """
    wanted = ("name", "title", "reference", "Config", "tasks")
    missing = [name for name in wanted if not hasattr(found, name)]
    if missing:
        raise CongealError(
            f"expected the attributes {', '.join(wanted)} of {point.value}, "
            f"found no {', '.join(missing)}"
        )
    if found.name != point.name:
        raise CongealError(
            f"expected {point.value} to be named {point.name!r}, as it is registered, "
            f"got {found.name!r}"
        )
    if not found.tasks:
        raise CongealError(f"expected at least one task of {point.value}, got none")
    for task in found.tasks:
        find_task(task)
