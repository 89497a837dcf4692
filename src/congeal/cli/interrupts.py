"""Hearing of Ctrl-C although a training takes it for a wish to end, and returns."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from types import TracebackType

__all__ = ["Interrupts"]


class Interrupts:
    """Notes each Ctrl-C while its block runs, whoever else handles it.

    Python writes the number of every signal into a socket of ours; handlers stay as they are.
    """

    def __init__(self) -> None:
        self._came = False
        self._before: int | None = None
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> Interrupts:
        with suppress(ValueError):  # only the main thread hears of signals
            self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.set_wakeup_fd(self._before)
        self._read()
        self._reader.close()
        self._writer.close()

    @property
    def came(self) -> bool:
        """Whether there was one so far."""
        self._read()
        return self._came

    def _read(self) -> None:
        with suppress(OSError):  # nothing to read, or closed
            self._came |= signal.SIGINT in self._reader.recv(4096)
