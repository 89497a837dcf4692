"""The four tasks: training target, output and evaluation protocol of each."""

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
        target: the map of a :class:`congeal.data.Batch` that training needs.
        output: the part of a :class:`congeal.Segmentation` that the task predicts.
        file: default format of ``congeal segment`` beside the overlay.
        protocol: evaluation protocol: the default of ``congeal evaluate``, and the one of
            validation, early stopping and tuning.
        own_protocol: whether ``congeal evaluate`` takes this protocol on all datasets; else a
            dataset with a protocol of its own for this output comes first.
        headline: scores of that protocol; validation, early stopping and tuning maximise its mean.
        score: name of that mean, as shown.
        protocol_settings: settings of the protocol in validation.
        description: one line.
    """

    name: str
    target: Literal["labels", "semantic", "boundaries"]
    output: Literal["objects", "semantic", "boundary"]
    file: str
    protocol: str
    headline: tuple[str, ...]
    score: str
    protocol_settings: Mapping[str, Any]
    description: str
    own_protocol: bool = False


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "instances",
            target="labels",
            output="objects",
            file="labels",
            protocol="matching",
            headline=("matching_ap@0.5", "matching_ap@0.7"),
            score="mean AP at .5 and .7",
            protocol_settings={"thresholds": (0.5, 0.7)},
            description="a mask per object, with its class where the data has classes",
        ),
        Task(
            "semantic",
            target="semantic",
            output="semantic",
            file="semantic",
            protocol="miou",
            headline=("miou",),
            score="mIoU",
            protocol_settings={},
            description="the class of every pixel",
        ),
        Task(
            "boundaries",
            target="boundaries",
            output="boundary",
            file="boundary",
            protocol="bsds-boundaries",
            headline=("ods",),
            score="ODS",
            protocol_settings={"thresholds": 5},  # all 99 take 14 s per image
            description="the probability of a boundary at every pixel",
        ),
        Task(
            "proposals",
            target="labels",
            output="objects",
            file="coco",  # a label map hides what overlaps
            protocol="proposals",
            headline=("ar@100",),
            score="AR at 100",
            protocol_settings={},
            description="class-agnostic object proposals: ranked masks that may overlap",
            own_protocol=True,
        ),
    )
}


def find_task(name: str) -> Task:
    """Find a task by name.

    Raises:
        CongealError: the name is unknown; the message suggests the nearest.

    Example:
        >>> find_task("semantic").protocol
        'miou'
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]
