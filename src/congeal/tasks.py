"""The four tasks: what each learns from, fills in a result, and is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from congeal.errors import unknown

__all__ = ["TASKS", "Task", "TaskName", "find_task"]

TaskName = Literal["instances", "semantic", "boundaries", "proposals"]


@dataclass(frozen=True)
class Task:
    """One row of the table of tasks.

    Attributes:
        name: such as ``"instances"``.
        learns_from: the map of a :class:`congeal.data.Batch` that training needs.
        fills: the part of a :class:`congeal.Segmentation` that the task makes.
        protocol: how it is judged unless the data says otherwise; in validation, early stop and
            tuning always.
        headline: scores of that protocol whose mean validation, early stop and tuning compare.
        score: what that mean is called.
        measure: settings of the protocol in validation.
        description: one line.
    """

    name: str
    learns_from: Literal["labels", "semantic", "boundaries"]
    fills: Literal["objects", "semantic", "boundary"]
    protocol: str
    headline: tuple[str, ...]
    score: str
    measure: Mapping[str, Any]
    description: str


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "instances",
            learns_from="labels",
            fills="objects",
            protocol="matching",
            headline=("matching_ap@0.5", "matching_ap@0.7"),
            score="mean AP at .5 and .7",
            measure={"thresholds": (0.5, 0.7)},
            description="every object apart, with its class where the data has classes",
        ),
        Task(
            "semantic",
            learns_from="semantic",
            fills="semantic",
            protocol="miou",
            headline=("miou",),
            score="mIoU",
            measure={},
            description="the class of every pixel",
        ),
        Task(
            "boundaries",
            learns_from="boundaries",
            fills="boundary",
            protocol="bsds-boundaries",
            headline=("ods",),
            score="ODS",
            measure={"thresholds": 5},  # a full benchmark takes 14 s an image
            description="how likely every pixel lies on a boundary",
        ),
        Task(
            "proposals",
            learns_from="labels",
            fills="objects",
            protocol="proposals",
            headline=("ar@100",),
            score="AR at 100",
            measure={},
            description="ranked candidates for objects of any class, which may overlap",
        ),
    )
}


def find_task(name: str) -> Task:
    """Find a task by name.

    Raises:
        CongealError: there is none of that name; the nearest is suggested.

    Example:
        >>> find_task("semantic").protocol
        'miou'
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]
