"""Progress lines for output to a file or pipe, and the formatting of durations."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event, Thread

__all__ = ["INTERVAL", "Ticker", "duration", "minutes"]

INTERVAL = 10.0  # seconds between two lines
FIRST_DELAY = 3.0  # seconds until the first line


class Ticker:
    """Prints a progress line to stderr every ten seconds, from a thread of its own.

    The thread prints also while a single step, image or import takes long.

    Args:
        line: returns the line to print now, or None to print nothing.
        delay: seconds until the first line; None: 3.
        interval: seconds between two lines; None: 10.

    Example:
        >>> with Ticker(lambda: "reading", delay=60):
        ...     pass
    """

    def __init__(
        self,
        line: Callable[[], str | None],
        *,
        delay: float | None = None,
        interval: float | None = None,
    ) -> None:
        self.line = line
        self.delay = FIRST_DELAY if delay is None else delay
        self.interval = INTERVAL if interval is None else interval
        self._stopped = Event()
        self._thread: Thread | None = None

    def __enter__(self) -> Ticker:
        """Start printing."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop printing."""
        self.stop()

    def start(self) -> None:
        """Start the thread; does nothing if it is running."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = Thread(target=self._print_lines, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; no line is printed after this call."""
        if self._thread is not None:
            self._stopped.set()
            self._thread.join()
            self._thread = None

    def _print_lines(self) -> None:
        wait = self.delay
        while not self._stopped.wait(wait):
            wait = self.interval
            line = self.line()
            if line is None:
                continue
            try:
                print(line, file=sys.stderr, flush=True)
            except (OSError, ValueError):  # the reader of the pipe has closed it
                return


def duration(seconds: float) -> str:
    """Format a duration in its two largest units.

    Args:
        seconds: not negative.

    Example:
        >>> duration(42.4), duration(200), duration(4000)
        ('42 s', '3 min 20 s', '1 h 6 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def minutes(number: float) -> str:
    """Format a number of minutes.

    Example:
        >>> minutes(1), minutes(2.5)
        ('1 minute', '2.5 minutes')
    """
    return f"{number:g} minute{'s' * (number != 1)}"
