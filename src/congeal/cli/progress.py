"""A progress bar that prints lines where there is no terminal."""

from __future__ import annotations

from typing import Any

from rich.progress import Progress, Task

from congeal.progress import Ticker, duration

__all__ = ["LineProgress", "progress_line"]

WIDTH = 80  # columns of a line


class LineProgress(Progress):
    """A progress bar that, where it is disabled, prints a line every ten seconds to stderr."""

    def __init__(self, *columns: Any, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._ticker = Ticker(self._line)

    def start(self) -> None:
        """Show the bar, or start printing lines."""
        super().start()
        if self.disable:
            self._ticker.start()

    def stop(self) -> None:
        """Remove the bar, or stop printing lines."""
        super().stop()
        self._ticker.stop()

    def _line(self) -> str | None:
        active = [task for task in self.tasks if task.visible and not task.finished]
        return progress_line(active[-1]) if active else None


def progress_line(task: Task) -> str:
    """Progress of a task in at most 80 columns; the time so far while nothing is done.

    Args:
        task: task of a progress bar.

    Example:
        >>> from threading import RLock
        >>> progress_line(Task(0, "segmenting", 40, 10, _get_time=lambda: 0.0, _lock=RLock()))
        'segmenting: 10 of 40'
    """
    progress = _format_progress(task)
    return f"{task.description[: WIDTH - len(progress) - 2]}: {progress}"


def _format_progress(task: Task) -> str:
    total = task.total
    if not task.completed:
        first = f"the first of {total:,.0f}, " if total else ""
        return f"{first}{duration(task.elapsed or 0)} so far"
    done = f"{task.completed:,.0f}" + (f" of {total:,.0f}" if total else "")
    if not (total and task.elapsed):
        return done
    left = task.elapsed / task.completed * (total - task.completed)
    return f"{done}, {duration(left)} left"
