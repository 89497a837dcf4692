"""A progress bar that says lines where there is no terminal."""

from __future__ import annotations

from typing import Any

from rich.progress import Progress, Task

from congeal.progress import Ticker, duration

__all__ = ["LineProgress", "progress_line"]

WIDTH = 80  # columns of a line


class LineProgress(Progress):
    """A progress bar that says a line every ten seconds on stderr instead where it is disabled."""

    def __init__(self, *columns: Any, **given: Any) -> None:
        super().__init__(*columns, **given)
        self._ticker = Ticker(self._line)

    def start(self) -> None:
        """Begin to show, or to say lines."""
        super().start()
        if self.disable:
            self._ticker.start()

    def stop(self) -> None:
        """End it."""
        super().stop()
        self._ticker.stop()

    def _line(self) -> str | None:
        going = [task for task in self.tasks if task.visible and not task.finished]
        return progress_line(going[-1]) if going else None


def progress_line(task: Task) -> str:
    """Say how far a task is, within 80 columns; how long it has taken while nothing is done.

    Example:
        >>> from threading import RLock
        >>> progress_line(Task(0, "segmenting", 40, 10, _get_time=lambda: 0.0, _lock=RLock()))
        'segmenting: 10 of 40'
    """
    said = _how_far(task)
    return f"{task.description[: WIDTH - len(said) - 2]}: {said}"


def _how_far(task: Task) -> str:
    total = task.total
    if not task.completed:
        what = f"the first of {total:,.0f}, " if total else ""
        return f"{what}{duration(task.elapsed or 0)} so far"
    said = f"{task.completed:,.0f}" + (f" of {total:,.0f}" if total else "")
    if not (total and task.elapsed):
        return said
    left = task.elapsed / task.completed * (total - task.completed)
    return f"{said}, {duration(left)} left"
