"""Minutes are counted on the wall, or in time of the processor."""

import time

import pytest

from congeal.clock import count_processor_time, name_of_clock, now


def asleep() -> float:
    started = now()
    time.sleep(0.1)
    return now() - started


def test_time_on_the_wall_goes_on_while_the_process_sleeps():
    assert asleep() >= 0.1


def test_processor_time_stands_still_while_the_process_sleeps():
    with count_processor_time():
        assert name_of_clock() == "processor"
        assert asleep() < 0.1
    assert name_of_clock() == "wall"


def test_the_wall_counts_again_after_a_failure():
    with pytest.raises(ValueError, match="stop"), count_processor_time():
        raise ValueError("stop")
    assert asleep() >= 0.1
