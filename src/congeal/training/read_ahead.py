"""Prefetching: a thread that makes samples before they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

__all__ = ["ReadAhead"]

Item = TypeVar("Item")


class ReadAhead(Generic[Item]):
    """Makes samples in a background thread, one after the other.

    Args:
        make: makes the sample of a number; its exceptions are raised by :meth:`take`.

    Example:
        >>> reader = ReadAhead(lambda number: torch.full((1,), number))
        >>> int(reader.take(4, coming=[5, 6])), int(reader.take(5))
        (4, 5)
        >>> reader.close()
    """

    def __init__(self, make: Callable[[int], Item]) -> None:
        self.make = make
        self.pending: dict[int, Future[Item]] = {}  # by number
        self.thread: ThreadPoolExecutor | None = None

    def take(self, number: int, coming: Sequence[int] = ()) -> Item:
        """Wait for a sample and return it; prefetch others.

        Args:
            number: number of the sample.
            coming: numbers to prefetch, in order; other prefetches are cancelled.
        """
        for stale in self.pending.keys() - {number, *coming}:
            self.pending.pop(stale).cancel()
        for wanted in (number, *coming):
            if wanted not in self.pending:
                self.pending[wanted] = self._executor().submit(self.make, wanted)
        return self.pending.pop(number).result()

    def _executor(self) -> ThreadPoolExecutor:
        if self.thread is None:
            # One PyTorch thread; the other cores are for the network.
            self.thread = ThreadPoolExecutor(1, "congeal-reader", torch.set_num_threads, (1,))
        return self.thread

    def close(self) -> None:
        """Cancel all prefetches and end the thread."""
        if self.thread is not None:
            self.thread.shutdown(wait=False, cancel_futures=True)
        self.thread, self.pending = None, {}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"pending": {}, "thread": None}  # threads cannot be pickled
