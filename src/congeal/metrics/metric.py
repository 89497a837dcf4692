"""The interface of incremental metrics, and merging of metrics from several processes."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError

__all__ = ["Metric", "gather", "means", "merge_all", "ratio", "require_image"]


@runtime_checkable
class Metric(Protocol):
    """Interface of metrics that are accumulated image by image, possibly in several processes.

    Merging metrics of disjoint parts of a dataset gives the same result as one metric of the whole
    dataset. A metric can be pickled at any time.

    Example:
        >>> from congeal.metrics import MatchingMetric
        >>> isinstance(MatchingMetric(), Metric)
        True
    """

    def update(self, *args: Any, **kwargs: Any) -> Any:
        """Add one image; keyword arguments only: ``prediction``, ``truth`` and further ones.

        Positional arguments are not allowed: swapped maps would give plausible wrong scores.
        """

    def merge(self, other: Self) -> Any:
        """Add the counts of another metric with the same settings."""

    def compute(self) -> dict[str, float]:
        """Return the scores of all images so far by name."""


M = TypeVar("M", bound=Metric)


def require_image(labels: ArrayLike) -> None:
    """Raise an error if labels have a batch axis where one image is expected.

    Raises:
        CongealError: the label map has more than two axes.

    Example:
        >>> require_image([[0, 1]])
    """
    shape = np.shape(labels)
    if len(shape) > 2:
        raise CongealError(
            f"expected the label map (H, W) of one image, got {shape}: add the images of a batch "
            "one by one; for volumes use the functions instead of the metric"
        )


def ratio(numerator: float, denominator: float) -> float:
    """Numerator over denominator; NaN if the denominator is 0.

    Example:
        >>> ratio(1, 2), ratio(0, 0)
        (0.5, nan)
    """
    return numerator / denominator if denominator else math.nan


def means(sums: NDArray[np.float64], count: int) -> list[float]:
    """Means from sums and their count; NaN if the count is 0.

    Example:
        >>> means(np.array([1.0, 4.0]), 2), means(np.zeros(1), 0)
        ([0.5, 2.0], [nan])
    """
    return [ratio(value, count) for value in sums.tolist()]


def merge_all(parts: Iterable[M]) -> M:
    """Merge metrics with the same settings into a new one; the parts are not modified.

    Args:
        parts: metrics of different images, at least one.

    Returns:
        The metric of all images, in the order of the parts.

    Raises:
        CongealError: there are no parts, or their settings differ.

    Example:
        >>> from congeal.metrics import MatchingMetric
        >>> parts = [MatchingMetric((0.5,)) for _ in range(3)]
        >>> for part in parts:
        ...     _ = part.update(prediction=[[1, 0]], truth=[[1, 0]])
        >>> merge_all(parts).compute()["images"]
        3
    """
    rest = iter(parts)
    first = next(rest, None)
    if first is None:
        raise CongealError("expected at least one metric to merge, got none")
    return _merge_into(copy.deepcopy(first), rest)


def gather(metric: M, group: Any = None) -> M:
    """Merge a metric over all processes of ``torch.distributed``.

    Every process of the group has to call this function and gets the same result, merged in order
    of ranks. Without distributed processes the metric itself is returned. Images that a sampler
    repeats as padding are counted twice, unless they have an ``image`` id: use a sampler without
    padding for exact results.

    Args:
        metric: the metric of this process; it is not modified.
        group: process group; None: the default group.

    Returns:
        The merged metric.

    Raises:
        CongealError: the settings of the parts differ.

    Example:
        >>> from congeal.metrics import MatchingMetric
        >>> metric = MatchingMetric()
        >>> gather(metric) is metric
        True
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return metric
    parts: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(parts, metric, group)
    merged: M = _merge_into(parts[0], parts[1:])
    return merged


def _merge_into(metric: M, parts: Iterable[M]) -> M:
    for part in parts:
        metric.merge(part)
    return metric
