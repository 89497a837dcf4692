"""Groupings by name, for the settings of methods and the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from congeal.errors import CongealError, unknown
from congeal.grouping.flat_shift import FlatMeanShift
from congeal.grouping.groups import Grouping
from congeal.grouping.kmeans import SphericalKMeans
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.proposals import Proposals
from congeal.grouping.retrieval import Retrieval
from congeal.grouping.scalar_shift import ScalarMeanShift

__all__ = ["GROUPINGS", "build_grouping"]


def _open_retrieval(bank: str, k: int = 15, grid: int = 5) -> Retrieval:
    """Retrieval from the bank in a file, with segments by k-means on a grid of cells."""
    return Retrieval.load(bank, k=k, segments=SphericalKMeans(grid=grid))


GROUPINGS: Mapping[str, Callable[..., Grouping]] = {
    "mean-shift": MeanShift,
    "k-means": SphericalKMeans,
    "flat-shift": FlatMeanShift,
    "scalar-shift": ScalarMeanShift,
    "proposals": Proposals.from_concentrations,
    "retrieval": _open_retrieval,
}


# Present names of options, by their earlier names in models saved before congeal 0.2.
RENAMED: Mapping[str, Mapping[str, str]] = {
    "mean-shift": {"step_size": "eta", "reach": "kernel_radius", "smallest": "min_area"},
    "flat-shift": {"smallest": "min_area", "most": "max_instances"},
    "scalar-shift": {
        "background": "foreground_threshold",
        "smallest": "min_area",
        "overlap": "duplicate_iou",
        "connected": "split_components",
    },
    "proposals": {"overlap": "max_iou", "smallest": "min_area", "split": "split_components"},
}


def build_grouping(name: str, **options: Any) -> Grouping:
    """Create a grouping by name.

    Args:
        name: one of ``GROUPINGS``.
        options: its options, by present or earlier names; see the class of that name.

    Raises:
        CongealError: the name or an option is unknown (the nearest is suggested), or a value is
            out of range.

    Example:
        >>> build_grouping("k-means", grid=4)
        SphericalKMeans(grid=4, steps=10, location_weight=1.0, search=None)
    """
    if name not in GROUPINGS:
        raise unknown("grouping", name, GROUPINGS)
    make, renamed = GROUPINGS[name], RENAMED.get(name, {})
    options = {renamed.get(option, option): value for option, value in options.items()}
    parameters = inspect.signature(make).parameters
    for option in options:
        if option not in parameters:
            raise unknown(f"option of {name}", option, parameters)
    missing = [
        key
        for key, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and key not in options
    ]
    if missing:
        raise CongealError(f"expected {' and '.join(missing)} for the grouping {name}")
    try:
        return make(**options)
    except TypeError as error:
        raise CongealError(f"expected other values for the grouping {name}: {error}") from error
