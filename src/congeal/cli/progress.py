"""Progress for who reads it in a file or a pipe: a line every ten seconds."""

from __future__ import annotations

import sys
from threading import Event, Thread
from typing import Any

from rich.progress import Progress, Task

__all__ = ["LineProgress", "progress_line"]

FIRST, EVERY = 4.0, 10.0  # seconds until the first line, and between two


class LineProgress(Progress):
    """A progress bar that says lines on stderr instead where it is disabled."""

    def __init__(self, *columns: Any, **given: Any) -> None:
        super().__init__(*columns, **given)
        self._over = Event()
        self._teller: Thread | None = None

    def start(self) -> None:
        """Begin to show, or to say lines."""
        super().start()
        if self.disable and self._teller is None:
            self._over.clear()
            self._teller = Thread(target=self._tell, daemon=True)
            self._teller.start()

    def stop(self) -> None:
        """End it."""
        super().stop()
        if self._teller is not None:
            self._over.set()
            self._teller.join()
            self._teller = None

    def _tell(self) -> None:
        wait = FIRST
        while not self._over.wait(wait):
            wait = EVERY
            for task in (task for task in self.tasks if task.visible and not task.finished):
                try:
                    print(progress_line(task), file=sys.stderr, flush=True)
                except (OSError, ValueError):  # nobody reads it any more
                    return


def progress_line(task: Task) -> str:
    """Say how far a task is, within 80 columns.

    Example:
        >>> from threading import RLock
        >>> progress_line(Task(0, "segmenting", 40, 10, _get_time=lambda: 0.0, _lock=RLock()))
        'segmenting: 10 of 40'
    """
    done, total = f"{task.completed:,.0f}", task.total
    line = f"{task.description[:40]}: {done}" + (f" of {total:,.0f}" if total else "")
    if not (total and task.completed and task.elapsed):
        return line
    left = task.elapsed / task.completed * (total - task.completed)
    return f"{line}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
