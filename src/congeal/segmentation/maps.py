"""The maps of a result: semantic map, probabilities, boundary map and contours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.figures.colour import check_map

__all__ = ["Maps", "check_maps"]


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of a result; None for those that the task does not predict.

    Attributes:
        semantic: class of each pixel, `(H, W)` int64; 0 background, 1..C classes.
        probabilities: of the background and of each class, `(C + 1, H, W)` float16 or float32.
        boundary: boundary probability of each pixel, `(H, W)` float32 in [0, 1].
        contours: ultrametric contour map `(2 H + 1, 2 W + 1)` float32 in [0, 1], with pixels at odd
            positions: the strength at which neighbouring regions merge.
    """

    semantic: NDArray[np.int64] | None = None
    probabilities: NDArray[Any] | None = None
    boundary: NDArray[np.float32] | None = None
    contours: NDArray[np.float32] | None = None

    @property
    def held(self) -> tuple[str, ...]:
        """Names of the maps that are not None."""
        names = ("semantic", "probabilities", "boundary")
        return tuple(name for name in names if getattr(self, name) is not None)

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width in pixels, None without any map."""
        shapes = [getattr(self, name).shape[-2:] for name in self.held]
        return (int(shapes[0][0]), int(shapes[0][1])) if shapes else None

    @property
    def highest(self) -> int:
        """Highest class id of the maps, 0 without."""
        semantic = 0 if self.semantic is None else int(self.semantic.max(initial=0))
        return semantic if self.probabilities is None else len(self.probabilities) - 1


def check_maps(
    semantic: ArrayLike | None,
    probabilities: ArrayLike | None,
    boundary: ArrayLike | None,
    shape: tuple[int, int] | None = None,
    contours: ArrayLike | None = None,
) -> Maps:
    """Check and copy the maps of an image.

    Args:
        semantic: as in :class:`Maps`; None: the most probable class, if there are probabilities.
        probabilities: as in :class:`Maps`.
        boundary: as in :class:`Maps`; None: taken from the contours, if there are any.
        shape: height and width of the image; None: those of the maps.
        contours: as in :class:`Maps`.

    Raises:
        CongealError: a map has the wrong size, type or range.

    Example:
        >>> check_maps(None, [[[0.2]], [[0.8]]], None).semantic
        array([[1]])
    """
    probs = None if probabilities is None else _probabilities(probabilities)
    classes = _semantic(semantic, probs)
    tree = None if contours is None else _contours(contours)
    if boundary is None and tree is not None:
        boundary = tree[2::2, 2::2]  # as scored by the Berkeley benchmark
    lines = None if boundary is None else _unit_range(np.asarray(boundary, np.float32), "boundary")
    if lines is not None and lines.ndim != 2:
        raise CongealError(f"expected a boundary map (H, W), got shape {lines.shape}")
    if tree is not None and lines is not None and tree.shape != _doubled(lines.shape):
        raise CongealError(f"expected contours {_doubled(lines.shape)}, got {tree.shape}")
    maps = Maps(classes, probs, lines, tree)
    for name in maps.held:
        size = getattr(maps, name).shape[-2:]
        if size != (shape or maps.shape):
            raise CongealError(f"expected a {name} map of size {shape or maps.shape}, got {size}")
    if classes is not None and probs is not None and classes.max(initial=0) >= len(probs):
        raise CongealError(
            f"expected probabilities of classes 0 to {classes.max()}, got {len(probs)} of them"
        )
    return maps


def _doubled(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(2 * side + 1 for side in shape)


def _contours(given: ArrayLike) -> NDArray[np.float32]:
    tree = _unit_range(np.asarray(given, np.float32), "contours")
    if tree.ndim != 2 or not all(side % 2 and side > 1 for side in tree.shape):
        raise CongealError(f"expected contours (2 H + 1, 2 W + 1), got shape {tree.shape}")
    return tree


def _semantic(given: ArrayLike | None, probs: NDArray[Any] | None) -> NDArray[np.int64] | None:
    if given is None:
        return None if probs is None else probs.argmax(0).astype(np.int64)
    classes = check_map(given).copy()
    if classes.min(initial=0) < 0:
        raise CongealError(f"expected a semantic map of classes from 0, got {classes.min()}")
    return classes


def _probabilities(given: ArrayLike) -> NDArray[Any]:
    array = np.asarray(given)
    if array.ndim != 3 or not len(array):
        raise CongealError(f"expected probabilities (C + 1, H, W), got shape {array.shape}")
    kind = np.float16 if array.dtype == np.float16 else np.float32
    return _unit_range(array.astype(kind), "probabilities")


def _unit_range(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Copy values after checking that all are in [0, 1] (NaN is not)."""
    if not ((values >= 0) & (values <= 1)).all():
        raise CongealError(f"expected {name} in [0, 1], got {values.min()} to {values.max()}")
    return values.copy()
