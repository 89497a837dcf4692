"""The BSDS500 boundary benchmark on many images, in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Sized
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.metrics.boundary_matching import MAX_DISTANCE
from congeal.metrics.bsds_boundaries import BsdsBoundaryMetric, boundary_counts
from congeal.metrics.bsds_curves import FULL

__all__ = ["boundary_benchmark"]

Counts = NDArray[np.int64]
Image = tuple[ArrayLike | Sequence[ArrayLike], Sequence[ArrayLike]]
Progress = Callable[[int, int | None], None]


def boundary_benchmark(
    images: Iterable[Image],
    thresholds: int | Sequence[float] = FULL,
    workers: int | None = None,
    progress: Progress | None = None,
    max_distance: float = MAX_DISTANCE,
    seed: int = 0,
) -> BsdsBoundaryMetric:
    """Score boundary maps of many images, in parallel over images.

    The result does not depend on the number of processes. At most two images per process are in
    memory, so ``images`` may be a generator. An image of the benchmark takes 5 to 25 s of one core
    at 99 thresholds and five annotators.

    Args:
        images: pairs of prediction and annotations, as arguments of
            :func:`congeal.metrics.boundary_counts`.
        thresholds: as in :class:`congeal.metrics.BsdsBoundaryMetric`; 9 give an estimate eleven
            times as fast, marked by ``quick``.
        workers: number of processes; None: all cores, 1: only the calling process. Scripts with
            more than one need ``if __name__ == "__main__":``.
        progress: called with (done, total) after each image; total is None if unknown.
        max_distance: largest distance of a match, as a fraction of the image diagonal.
        seed: of the random outliers in the matching.

    Returns:
        The metric of all images.

    Raises:
        CongealError: ``workers`` is below 1, or as of ``boundary_counts``.

    Example:
        >>> line = np.eye(30, dtype=bool)
        >>> found = boundary_benchmark([(line * 0.7, [line])], thresholds=9, workers=1)
        >>> found.compute()["ods"], found.quick
        (1.0, True)
    """
    metric = BsdsBoundaryMetric(thresholds, max_distance, seed)
    number = (os.cpu_count() or 1) if workers is None else workers
    if number < 1:
        raise CongealError(f"expected at least one worker, got {number}")
    total = len(images) if isinstance(images, Sized) else None
    count = partial(
        boundary_counts, thresholds=metric.thresholds, max_distance=max_distance, seed=seed
    )
    for done, table in enumerate(_tables(images, count, number), start=1):
        metric.add(table)
        if progress is not None:
            progress(done, total)
    return metric


def _tables(
    images: Iterable[Image], count: Callable[..., Counts], workers: int
) -> Iterable[Counts]:
    if workers == 1:
        for prediction, truth in images:
            yield count(prediction=prediction, truth=truth)
        return
    # Processes forked while PyTorch's threads run may hang, so spawn.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        rest = iter(images)
        pending: deque[Future[Counts]] = deque()
        try:
            for prediction, truth in islice(rest, 2 * workers):
                pending.append(pool.submit(count, prediction=prediction, truth=truth))
            while pending:
                table = pending.popleft().result()
                for prediction, truth in islice(rest, 1):
                    pending.append(pool.submit(count, prediction=prediction, truth=truth))
                yield table
        finally:
            for future in pending:
                future.cancel()
