"""The four tasks, each with a protocol that judges it."""

import numpy as np
import pytest

from congeal.data.batch import MAPS
from congeal.errors import CongealError
from congeal.methods import find_method
from congeal.metrics.protocols import PROTOCOLS
from congeal.segmentation import Segmentation
from congeal.tasks import TASKS, find_task


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_every_task_learns_from_a_map_fills_a_result_and_is_judged(task):
    assert find_task(task.name) is task
    assert task.target in MAPS
    empty = Segmentation.from_labels(np.zeros((2, 3), int))
    assert hasattr(empty, {"objects": "labels"}.get(task.output, task.output))
    assert task.protocol in PROTOCOLS
    assert task.headline


def test_an_unknown_task_suggests_the_nearest():
    with pytest.raises(CongealError, match="unknown task 'semantics'; did you mean 'semantic'"):
        find_task("semantics")


def test_a_method_is_for_the_first_of_its_tasks_and_for_no_other_than_its_own():
    kind = find_method("dvis")
    assert kind().task is TASKS[kind.tasks[0]]
    with pytest.raises(CongealError, match=r"a task of DVIS .instances., got"):
        kind(task="boundaries")
