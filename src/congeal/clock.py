"""What the minutes of a training are counted in: time on the wall, or time of the processor.

A machine that does other work at the same time takes time on the wall away from a training, but
not time of the processor. Trainings that are compared on a shared machine count the latter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["count_processor_time", "now"]

_read: Callable[[], float] = time.monotonic


def now() -> float:
    """Seconds from some moment on; only differences mean something.

    Example:
        >>> started = now()
        >>> now() >= started
        True
    """
    return _read()


@contextmanager
def count_processor_time() -> Iterator[None]:
    """Let :func:`now` count processor time of this process, divided by the threads of PyTorch.

    With one thread that is the time on the wall of a machine that does nothing else. Work of other
    processes, such as those of :func:`congeal.train` with several devices, is not counted, nor is
    that of a GPU.

    Example:
        >>> with count_processor_time():
        ...     started = now()
        ...     time.sleep(0.05)
        ...     passed = now() - started
        >>> passed < 0.05
        True
    """
    import torch

    global _read
    before, threads = _read, torch.get_num_threads()

    def read() -> float:
        return time.process_time() / threads

    _read = read
    try:
        yield
    finally:
        _read = before
