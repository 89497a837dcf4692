"""Signals (Ctrl-C, SIGTERM, SIGHUP) that stop a training after its current step."""

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
    """Stops a training after its current step at the first signal; a second signal kills it.

    SIGTERM is what a batch system sends to a job whose time is up. The context manager sets the
    handlers, in the main thread only. Lightning sets handlers of its own that raise; as a callback
    this class replaces them when the training starts.

    Args:
        clock: its ``stop_requested`` is set by the first signal.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.before: dict[int, Any] = {}  # handlers to restore, by signal

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGINT, signal.SIGTERM, *_HANG_UP)
            self.before = {number: signal.getsignal(number) for number in numbers}
            self._set()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Replace the handlers of Lightning."""
        del trainer, pl_module
        self._set()

    def _set(self) -> None:
        for number in self.before:
            signal.signal(number, self._request_stop)

    def _request_stop(self, number: int, frame: Any) -> None:
        del frame
        if self.clock.stop_requested:
            signal.signal(number, self.before[number])
            signal.raise_signal(number)
        self.clock.stop_requested, self.clock.signal = True, number
