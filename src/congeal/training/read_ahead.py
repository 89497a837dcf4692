"""Images read by a thread before they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

__all__ = ["Loaded", "ReadAhead", "bytes_of"]

Loaded = tuple[Tensor, Tensor]


def bytes_of(loaded: Loaded) -> int:
    """Memory that an image and its labels take.

    Example:
        >>> import torch
        >>> bytes_of((torch.zeros(1, 2, 2).half(), torch.zeros(2, 2).int()))
        24
    """
    return sum(item.numel() * item.element_size() for item in loaded)


class ReadAhead:
    """Reads coming images in a thread; one that nobody announced is read when it is taken.

    How many wait to be taken follows from the memory allowed and the largest image so far, so
    before the first one is known a single image is read ahead.

    Args:
        read: gives image and labels of an index; what it raises comes out where they are taken.
        memory: bytes that images read ahead may take.

    Example:
        >>> import torch
        >>> reader = ReadAhead(lambda index: (torch.full((1,), index), torch.zeros(1)), 100)
        >>> reader.announce([4, 5])
        >>> int(reader.take(4)[0]), int(reader.take(7)[0])
        (4, 7)
        >>> reader.close()
    """

    def __init__(self, read: Callable[[int], Loaded], memory: float) -> None:
        self.read = read
        self.memory = memory
        self.largest = 0  # bytes of an image so far
        self.coming: dict[int, Future[Loaded]] = {}
        self.thread: ThreadPoolExecutor | None = None

    def announce(self, indices: Iterable[int]) -> None:
        """Have these read, in this order, as far as memory allows."""
        room = int(self.memory // self.largest) if self.largest else 1
        for index in indices:
            if len(self.coming) >= room:
                return
            if index not in self.coming:
                self.thread = self.thread or ThreadPoolExecutor(1, "congeal-reader")
                self.coming[index] = self.thread.submit(self.read, index)

    def take(self, index: int) -> Loaded:
        """Give image and labels, when they are there."""
        coming = self.coming.pop(index, None)
        loaded = self.read(index) if coming is None else coming.result()
        self.largest = max(self.largest, bytes_of(loaded))
        return loaded

    def close(self) -> None:
        """Read nothing more; what has been read is let go."""
        if self.thread is not None:
            self.thread.shutdown(wait=False, cancel_futures=True)
        self.thread, self.coming = None, {}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"coming": {}, "thread": None}  # threads do not travel to workers
