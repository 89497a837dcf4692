"""Samples made by a thread before they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

__all__ = ["ReadAhead"]

Made = TypeVar("Made")


class ReadAhead(Generic[Made]):
    """Makes coming samples in a thread, one after the other, while something else is computed.

    Args:
        make: gives the sample of a number; what it raises comes out where they are taken.

    Example:
        >>> reader = ReadAhead(lambda number: torch.full((1,), number))
        >>> int(reader.take(4, coming=[5, 6])), int(reader.take(5))
        (4, 5)
        >>> reader.close()
    """

    def __init__(self, make: Callable[[int], Made]) -> None:
        self.make = make
        self.coming: dict[int, Future[Made]] = {}
        self.thread: ThreadPoolExecutor | None = None

    def take(self, number: int, coming: Sequence[int] = ()) -> Made:
        """Give a sample when it is there, and have those made that will be asked for next.

        What was to come and is not any more, is given up.
        """
        for stale in self.coming.keys() - {number, *coming}:
            self.coming.pop(stale).cancel()
        for one in (number, *coming):
            if one not in self.coming:
                self.coming[one] = self._executor().submit(self.make, one)
        return self.coming.pop(number).result()

    def _executor(self) -> ThreadPoolExecutor:
        if self.thread is None:
            # one core for it: the others are the network's
            self.thread = ThreadPoolExecutor(1, "congeal-reader", torch.set_num_threads, (1,))
        return self.thread

    def close(self) -> None:
        """Make nothing more; what is there is let go."""
        if self.thread is not None:
            self.thread.shutdown(wait=False, cancel_futures=True)
        self.thread, self.coming = None, {}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"coming": {}, "thread": None}  # threads do not travel to workers
