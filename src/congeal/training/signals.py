"""Signals that end a training in good order."""

from __future__ import annotations

import signal
import threading
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from congeal.training.callbacks import Clock

__all__ = ["StopSignals"]

_HANG_UP = tuple(getattr(signal, name) for name in ("SIGHUP",) if hasattr(signal, name))


class StopSignals(Callback):
    """Lets the first Ctrl-C, SIGTERM or SIGHUP end a training after its step; the next kills.

    SIGTERM is what a batch system sends to a job whose time is up. In force as a context manager,
    in the main thread; as a callback it comes after the handlers that Lightning sets, which would
    raise.

    Args:
        clock: is asked to stop.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGINT, signal.SIGTERM, *_HANG_UP)
            self.before = {number: signal.getsignal(number) for number in numbers}
            self._set()
        return self

    def __exit__(self, *error: object) -> None:
        for number, usual in self.before.items():
            signal.signal(number, usual)
        self.before = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take the signals back."""
        del trainer, pl_module
        self._set()

    def _set(self) -> None:
        for number in self.before:
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        del frame
        if self.clock.asked:
            signal.signal(number, self.before[number])
            signal.raise_signal(number)
        self.clock.asked, self.clock.signal = True, number
