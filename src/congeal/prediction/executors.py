"""Executors: compute tiles in this process, in several processes, or on a Dask cluster.

An executor calls a task with the number of each tile and yields the numbers as they finish, in any
order. The task writes its result to a file, so executors transfer numbers only.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Protocol

from congeal.errors import CongealError

__all__ = ["DaskCluster", "Executor", "Processes", "Serial", "choose_executor"]

Task = Callable[[int], int]

_task: Task | None = None  # of a process of `Processes`


class Executor(Protocol):
    """Interface of all executors."""

    def run(self, task: Task, numbers: Iterable[int]) -> Iterator[int]:
        """Call a task with each number; yield each number when it is done."""


@dataclass(frozen=True)
class Serial:
    """This process, one tile after the other.

    Example:
        >>> list(Serial().run(abs, [2, 3]))
        [2, 3]
    """

    def run(self, task: Task, numbers: Iterable[int]) -> Iterator[int]:
        """Call a task with each number; yield each number when it is done."""
        return map(task, numbers)


@dataclass(frozen=True)
class Processes:
    """Several processes of this machine, which share its cores.

    Args:
        count: of processes.

    Raises:
        CongealError: when run, a process was killed.
    """

    count: int

    def run(self, task: Task, numbers: Iterable[int]) -> Iterator[int]:
        """Call a task with each number; yield each number when it is done."""
        context = multiprocessing.get_context("spawn")  # threads of torch do not survive a fork
        waiting = list(numbers)
        count = max(1, min(self.count, len(waiting)))
        threads = max(1, multiprocessing.cpu_count() // count)
        try:
            workers: list[BaseProcess] = []
            with ProcessPoolExecutor(count, context, _start, (task, threads)) as pool:
                try:
                    with _sigint_blocked():
                        futures = [pool.submit(_call, one) for one in waiting]
                        workers = _workers(pool)
                    for done in as_completed(futures):
                        yield done.result()
                except BaseException:  # Ctrl-C, or a tile that fails: do not compute the rest
                    pool.shutdown(wait=False, cancel_futures=True)
                    _kill(workers)
                    raise
        except BrokenProcessPool as error:
            raise CongealError(
                "a process that computed tiles was killed, possibly out of memory; the same "
                "command goes on from the tiles that are done"
            ) from error


def _workers(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    """Processes of a pool. Python before 3.14 has no public way to end them."""
    return list((getattr(pool, "_processes", None) or {}).values())


def _kill(workers: Iterable[BaseProcess]) -> None:
    """End processes in the middle of their tiles, of which no half-written file counts."""
    for process in workers:
        process.kill()


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT in processes that start inside, also while they import."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(task: Task, threads: int) -> None:
    import torch

    global _task
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent handles Ctrl-C
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _task = task


def _end_with_parent() -> None:
    """End this process when its parent is killed; no signal reports that."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(number: int) -> int:
    assert _task is not None
    return _task(number)


@dataclass(frozen=True)
class DaskCluster:
    """The workers of a Dask cluster. They need access to the images and the output folder.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises:
        CongealError: when run, Dask is not installed, or there is no scheduler at the address.
    """

    address: str

    def run(self, task: Task, numbers: Iterable[int]) -> Iterator[int]:
        """Call a task with each number; yield each number when it is done."""
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise CongealError(
                "expected Dask for --dask, it is not installed: pip install 'congeal[dask]'"
            ) from error
        with self._client(distributed) as client:
            shared = client.scatter(task, broadcast=True)
            futures = client.map(_call_shared, list(numbers), task=shared, pure=False)
            try:
                for done in distributed.as_completed(futures, loop=client.loop):
                    yield int(done.result())
            except (distributed.scheduler.KilledWorker, CancelledError, OSError) as error:
                said = " ".join(str(error).split())[:200]
                raise CongealError(
                    f"the Dask cluster at {self.address} lost workers or its scheduler ({said}); "
                    "the same command goes on from the tiles that are done"
                ) from error

    def _client(self, distributed: Any) -> Any:
        try:
            return distributed.Client(self.address, timeout="10s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise CongealError(
                f"expected the scheduler of a Dask cluster at {self.address}, found none"
            ) from error


def _call_shared(number: int, task: Task) -> int:
    return task(number)


def choose_executor(processes: int = 1, dask: str | None = None) -> Executor:
    """Choose the executor.

    Args:
        processes: of this machine.
        dask: address of a Dask scheduler.

    Raises:
        CongealError: both are given, or there is no process.

    Example:
        >>> choose_executor(2)
        Processes(count=2)
    """
    if processes < 1 or (processes > 1 and dask):
        raise CongealError(
            f"expected --processes from 1 up or --dask (processes= or dask= in Python), got "
            f"{processes} processes and {'no' if dask is None else 'a'} cluster"
        )
    if dask is not None:
        return DaskCluster(dask)
    return Serial() if processes == 1 else Processes(processes)
