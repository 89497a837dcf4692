"""What an experiment keeps of a training is used again for the same plan only."""

import pytest

from congeal.clock import count_processor_time
from congeal.errors import CongealError
from congeal.experiments.kept import keep


def test_what_is_kept_is_not_computed_again(tmp_path):
    made = [keep(tmp_path / "a.json", {"minutes": 3}, lambda v=value: v) for value in (1, 2)]
    assert made == [1, 1]


def test_the_result_of_another_plan_is_refused(tmp_path):
    keep(tmp_path / "a.json", {"minutes": 3}, lambda: 1)
    with pytest.raises(CongealError, match="use another output folder"):
        keep(tmp_path / "a.json", {"minutes": 4}, lambda: 1)


def test_minutes_of_the_processor_are_another_plan_than_those_on_the_wall(tmp_path):
    keep(tmp_path / "a.json", {"minutes": 3}, lambda: 1)
    with count_processor_time(), pytest.raises(CongealError, match="'clock': 'processor'"):
        keep(tmp_path / "a.json", {"minutes": 3}, lambda: 1)
