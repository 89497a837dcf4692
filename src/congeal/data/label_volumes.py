"""Label volumes in TIFF and Zarr, read plane by plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.sample import LabelMap
from congeal.data.zarr_images import open_array
from congeal.errors import CongealError
from congeal.labels import check_labels

__all__ = ["LabelVolume", "open_label_volume"]


@dataclass(frozen=True, eq=False)
class LabelVolume:
    """A label volume, or a label map as one of a single plane.

    Attributes:
        array: of Zarr.
        axes: one letter for each axis.
        where: for messages.
    """

    array: Any
    axes: str
    where: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, height and width."""
        sides = dict(zip(self.axes, self.array.shape, strict=True))
        return sides.get("z", 1), sides["y"], sides["x"]

    def __iter__(self) -> Iterator[LabelMap]:
        """Read the planes ``(H, W)`` one after another."""
        for number in range(self.shape[0]):
            told = {"z": number, "y": slice(None), "x": slice(None)}
            part = np.asarray(self.array[tuple(told.get(axis, 0) for axis in self.axes)])
            upright = self.axes.index("y") < self.axes.index("x")
            yield check_labels(part if upright else part.T, self.where)


def open_label_volume(path: str | Path) -> LabelVolume:
    """Open a label volume: a TIFF, an array of Zarr, or a store of OME-Zarr with labels in it.

    Args:
        path: of a store with ``labels``, the first label image is taken.

    Raises:
        CongealError: it is none, or cannot be read.

    Example:
        >>> import tempfile, zarr
        >>> path = tempfile.mkdtemp() + "/a.zarr"
        >>> _ = zarr.save_array(path, np.zeros((3, 40, 50), np.uint16))
        >>> open_label_volume(path).shape
        (3, 40, 50)
    """
    array, named, _ = open_array(Path(path), labels=True)
    axes = named if len(named) == array.ndim and "?" not in named else "zyx"[-array.ndim :]
    sides = dict(zip(axes, array.shape, strict=False))
    spare = [axis for axis, side in sides.items() if axis not in "zyx" and side > 1]
    if len(axes) != array.ndim or not {"y", "x"} <= set(axes) or spare:
        raise CongealError(
            f"expected labels with the axes z, y and x in {path}, got shape {array.shape} with "
            f"axes {named or 'not told'}"
        )
    return LabelVolume(array, axes, str(path))
