"""Progress for who reads it in a file or a pipe: a line every ten seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event, Thread

__all__ = ["EVERY", "FIRST", "Ticker", "duration", "minutes"]

FIRST, EVERY = 3.0, 10.0  # seconds until the first line, and between two


class Ticker:
    """Says on stderr every ten seconds how far something is, from a thread of its own.

    So a line comes also while one step, image or import takes long.

    Args:
        line: gives what to say now; None: nothing.
        first: seconds until the first line; None: 3.
        every: seconds between two; None: 10.

    Example:
        >>> with Ticker(lambda: "reading", first=60):
        ...     pass
    """

    def __init__(
        self,
        line: Callable[[], str | None],
        *,
        first: float | None = None,
        every: float | None = None,
    ) -> None:
        self.line = line
        self.first = FIRST if first is None else first
        self.every = EVERY if every is None else every
        self._over = Event()
        self._teller: Thread | None = None

    def __enter__(self) -> Ticker:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Begin to say lines."""
        if self._teller is None:
            self._over.clear()
            self._teller = Thread(target=self._tell, daemon=True)
            self._teller.start()

    def stop(self) -> None:
        """End it; no line comes after."""
        if self._teller is not None:
            self._over.set()
            self._teller.join()
            self._teller = None

    def _tell(self) -> None:
        wait = self.first
        while not self._over.wait(wait):
            wait = self.every
            line = self.line()
            if line is None:
                continue
            try:
                print(line, file=sys.stderr, flush=True)
            except (OSError, ValueError):  # nobody reads it any more
                return


def duration(seconds: float) -> str:
    """Say a time in its two largest units.

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
    """Say a number of minutes.

    Example:
        >>> minutes(1), minutes(2.5)
        ('1 minute', '2.5 minutes')
    """
    return f"{number:g} minute{'s' * (number != 1)}"
