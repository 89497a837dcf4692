"""Lines on how far something is, for who reads them in a file."""

import time
from threading import RLock

import pytest
from rich.progress import Task

from congeal.cli.progress import LineProgress, progress_line
from congeal.progress import Ticker


def test_a_ticker_says_its_line_again_and_again_until_it_stops(capsys):
    with Ticker(lambda: "on it", delay=0.01, interval=0.01):
        time.sleep(0.3)
    said = capsys.readouterr().err.splitlines()
    assert len(said) > 2
    assert set(said) == {"on it"}
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


def at(seconds, completed, total):
    task = Task(0, "segmenting", total, completed, _get_time=lambda: seconds, _lock=RLock())
    task.start_time = 0.0
    return task


@pytest.mark.parametrize(
    ("seconds", "completed", "total", "line"),
    [
        (3, 0, None, "segmenting: 3 s so far"),
        (13, 0, 40, "segmenting: the first of 40, 13 s so far"),
        (20, 10, 40, "segmenting: 10 of 40, 1 min 0 s left"),
        (20, 10, None, "segmenting: 10"),
    ],
)
def test_a_line_has_counts_and_time_left(seconds, completed, total, line):
    assert progress_line(at(seconds, completed, total)) == line


def test_a_long_name_leaves_room_for_counts_and_time():
    task = at(20, 10, 40)
    task.description = "segmenting " * 9
    assert len(progress_line(task)) == 80
    assert progress_line(task).endswith(": 10 of 40, 1 min 0 s left")


def test_a_bar_that_is_not_shown_says_lines(capsys, monkeypatch):
    progress = LineProgress(disable=True)
    progress._ticker.delay = progress._ticker.interval = 0.02
    with progress:
        task = progress.add_task("segmenting", total=None)
        time.sleep(0.2)
        progress.reset(task, total=4)
        progress.update(task, completed=3)
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("segmenting: 0 s so far")
    assert lines[-1].startswith("segmenting: 3 of 4")
