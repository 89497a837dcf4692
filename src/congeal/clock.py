"""The clock of a training: wall-clock time, or processor time of this process.

Other work on a machine slows a training down in wall-clock time, but not in processor time. To
compare trainings on a shared machine, count processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["count_processor_time", "name_of_clock", "now"]

_read: Callable[[], float] = time.monotonic


def now() -> float:
    """Seconds since an arbitrary moment; only differences are meaningful.

    Example:
        >>> started = now()
        >>> now() >= started
        True
    """
    return _read()


def name_of_clock() -> str:
    """What :func:`now` counts: ``"wall"`` or ``"processor"``.

    Example:
        >>> name_of_clock()
        'wall'
    """
    return "wall" if _read is time.monotonic else "processor"


@contextmanager
def count_processor_time() -> Iterator[None]:
    """Let :func:`now` count the processor time of this process / number of PyTorch threads.

    With one thread this is the wall-clock time on an otherwise idle machine. The work of other
    processes (:func:`congeal.train` with several devices) and of a GPU is not counted.

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
