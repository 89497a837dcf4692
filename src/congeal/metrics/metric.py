"""What every streaming metric can do, and how parts counted apart become one number."""

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
    """A score that grows image by image, in any number of parts.

    ``merge`` of parts gives what one metric would hold had it seen all images itself, so that
    workers, processes and machines agree on one number. A metric can be pickled at any time.

    Example:
        >>> from congeal.metrics import MatchingMetric
        >>> isinstance(MatchingMetric(), Metric)
        True
    """

    def update(self, *args: Any, **kwargs: Any) -> Any:
        """Add one image by keyword: ``prediction``, ``truth`` and what else a metric takes.

        By keyword only: scores of swapped maps look right and are wrong.
        """

    def merge(self, other: Self) -> Any:
        """Add all that another metric of the same settings has seen."""

    def compute(self) -> dict[str, float]:
        """Give the scores so far by name."""


M = TypeVar("M", bound=Metric)


def require_image(labels: ArrayLike) -> None:
    """Refuse a batch where one image is added to a metric.

    Raises:
        CongealError: the label map has more than two axes.

    Example:
        >>> require_image([[0, 1]])
    """
    shape = np.shape(labels)
    if len(shape) > 2:
        raise CongealError(
            f"expected the label map (H, W) of one image, got {shape}: add the images of a batch "
            "one after the other; the functions take volumes"
        )


def ratio(above: float, below: float) -> float:
    """Divide; NaN where nothing is below, for then nothing can be said.

    Example:
        >>> ratio(1, 2), ratio(0, 0)
        (0.5, nan)
    """
    return above / below if below else math.nan


def means(sums: NDArray[np.float64], count: int) -> list[float]:
    """Divide sums by how many there were, NaN where there was none.

    Example:
        >>> means(np.array([1.0, 4.0]), 2), means(np.zeros(1), 0)
        ([0.5, 2.0], [nan])
    """
    return [ratio(value, count) for value in sums.tolist()]


def merge_all(parts: Iterable[M]) -> M:
    """Join metrics of the same settings into a new one; the parts stay as they are.

    Args:
        parts: metrics that saw different images, at least one.

    Returns:
        A metric that holds what all parts have seen, in their order.

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
    return _add_up(copy.deepcopy(first), rest)


def gather(metric: M, group: Any = None) -> M:
    """Join the parts of one metric that the processes of ``torch.distributed`` hold.

    Every process of the group has to call it, and every process gets the same whole, added up in
    the order of the ranks. Without distributed processes the metric itself is given back. An
    image that a sampler dealt twice to fill the last round is counted twice: deal without
    padding where the number has to be exact.

    Args:
        metric: what this process has counted; it stays as it is.
        group: process group, the default one when None.

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
    whole: M = _add_up(parts[0], parts[1:])
    return whole


def _add_up(whole: M, parts: Iterable[M]) -> M:
    for part in parts:
        whole.merge(part)
    return whole
