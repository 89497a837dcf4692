"""Measurements of the objects of a volume, summed up plane by plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.errors import CongealError
from congeal.segmentation.scale import Scale

__all__ = ["VOLUME_COLUMNS", "VoxelSize", "VoxelTally"]

VOLUME_COLUMNS = (
    "label",
    "class",
    "voxels",
    "volume",
    "planes",
    "centroid_z",
    "centroid_y",
    "centroid_x",
    "x0",
    "y0",
    "z0",
    "x1",
    "y1",
    "z1",
    "touches_border",
    "score",
    "units",
    "plane_distance",
    "pixel_size",
)
"""Names of the measurements of a volume, in the order of the columns of a CSV file.

``voxels``: number of voxels. ``volume``: in voxels, or cubic micrometres if ``units`` is ``um``.
``planes``: number of planes with a voxel of the object. ``centroid_*``: relative to the centre of
the first voxel, in ``units``. ``x0`` to ``z1``: bounding box in voxels, upper ends exclusive.
``touches_border``: whether a voxel is at the border of the volume, including the first and last
plane. ``score``: mean over voxels of the scores in the planes. ``plane_distance``, ``pixel_size``:
in micrometres; empty if unknown.
"""

FAR = np.iinfo(np.int64).max


@dataclass(frozen=True)
class VoxelSize:
    """Distances of planes and pixels, and the unit of measurements.

    Args:
        scale: pixel size and unit.
        plane_distance: micrometres between planes; None if unknown.

    Raises:
        CongealError: the distance is not positive, or is missing for micrometres.

    Example:
        >>> VoxelSize(Scale(0.5, "um"), 2.0).volume
        0.5
    """

    scale: Scale = field(default_factory=Scale)
    plane_distance: float | None = None

    def __post_init__(self) -> None:
        far = self.plane_distance
        if far is not None and not (math.isfinite(far) and far > 0):
            raise CongealError(f"expected a plane distance above 0 micrometres, got {far}")
        if self.scale.units == "um" and far is None:
            raise CongealError(
                "expected a plane distance for units um, the file has none: give it with "
                "--plane-distance (plane_distance= in Python)"
            )

    @property
    def depth(self) -> float:
        """Factor from planes to units of length."""
        known = self.scale.units == "um" and self.plane_distance is not None
        return float(self.plane_distance or 1.0) if known else 1.0

    @property
    def volume(self) -> float:
        """Factor from voxels to units of volume."""
        return self.depth * self.scale.length**2


class VoxelTally:
    """Accumulates number, extent and centroid of the voxels of each object, plane by plane.

    Example:
        >>> tally = VoxelTally()
        >>> tally.add(np.array([[1, 1, 0]]))
        >>> tally.add(np.array([[1, 0, 2]]))
        >>> tally.voxels.tolist(), tally.depth
        ([3, 1], 2)
    """

    def __init__(self) -> None:
        self.depth = 0
        self.size = (0, 0)
        self.voxels = np.zeros(0, np.int64)
        self.planes = np.zeros(0, np.int64)
        self.low = np.zeros((0, 3), np.int64)
        self.high = np.zeros((0, 3), np.int64)
        self.sums = np.zeros((0, 3))

    def add(self, plane: NDArray[np.int64]) -> None:
        """Count the voxels of the next plane ``(H, W)``, objects numbered from 1."""
        y, x = np.nonzero(plane > 0)
        index, z = plane[y, x] - 1, self.depth
        self._grow(int(index.max(initial=-1)) + 1)
        self.voxels += np.bincount(index, minlength=len(self.voxels))
        self.planes[np.unique(index)] += 1
        for axis, place in enumerate((np.full_like(y, z), y, x)):
            np.minimum.at(self.low[:, axis], index, place)
            np.maximum.at(self.high[:, axis], index, place + 1)
            self.sums[:, axis] += np.bincount(index, place, len(self.voxels))
        self.depth, self.size = z + 1, (plane.shape[0], plane.shape[1])

    def _grow(self, count: int) -> None:
        more = count - len(self.voxels)
        if more > 0:
            pad = ((0, more), (0, 0))
            self.voxels = np.pad(self.voxels, (0, more))
            self.planes = np.pad(self.planes, (0, more))
            self.low = np.pad(self.low, pad, constant_values=FAR)
            self.high, self.sums = np.pad(self.high, pad), np.pad(self.sums, pad)

    def rows(
        self, scores: NDArray[np.float64], classes: Sequence[str], size: VoxelSize
    ) -> list[dict[str, Any]]:
        """Measurements of all objects; see :data:`VOLUME_COLUMNS`.

        Args:
            scores: ``(K,)``.
            classes: class name of each object.
            size: voxel size and unit.
        """
        centre = self.sums / self.voxels[:, None]
        lengths = (size.depth, size.scale.length, size.scale.length)
        edge = (self.low == 0).any(1) | (self.high == (self.depth, *self.size)).any(1)
        unknown = (size.plane_distance, size.scale.pixel_size)
        far, pixel = (math.nan if one is None else one for one in unknown)
        rows = []
        for k, count in enumerate(self.voxels.tolist()):
            centroid = [float(c * length) for c, length in zip(centre[k], lengths, strict=True)]
            row = [k + 1, classes[k], count, float(count * size.volume), int(self.planes[k])]
            row += [*centroid, *self.low[k][::-1].tolist(), *self.high[k][::-1].tolist()]
            row += [bool(edge[k]), round(float(scores[k]), 6), size.scale.units, far, pixel]
            rows.append(dict(zip(VOLUME_COLUMNS, row, strict=True)))
        return rows
