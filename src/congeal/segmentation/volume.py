"""The segmentation of a volume: objects, measurements and file formats."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.files import atomic_path
from congeal.labels import check_labels
from congeal.segmentation.contents import Contents
from congeal.segmentation.planes import PlaneStitcher, kept_numbers
from congeal.segmentation.scale import Scale

__all__ = ["VOLUME_COLUMNS", "Volume", "VoxelSize"]

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
"""Names of the measurements of a volume, in the order of CSV columns.

``voxels``: number of voxels. ``volume``: volume in ``units`` cubed. ``planes``: number of planes
with a voxel of the object. ``centroid_*``: relative to the centre of the first voxel, in ``units``.
``x0`` to ``z1``: bounding box in voxels, upper bounds exclusive. ``touches_border``: whether a
voxel is at the border of the volume, first and last plane included. ``score``: mean score over the
voxels. ``plane_distance``, ``pixel_size``: in micrometres; empty if unknown.
"""

MAX_UINT16 = 65_535  # largest number of objects in a 16-bit label map


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


class Volume:
    """The objects of a volume: label volume, scores and classes.

    Args:
        labels: ``(Z, H, W)`` integers, 0 background, objects 1..K without gaps.
        scores: ``(K,)``; None: all 1.
        classes: ``(K,)`` class ids from 1; None: all 1.
        class_names: class names, from class 1.

    Raises:
        CongealError: the labels are not a label volume, or have gaps.

    Example:
        >>> volume = Volume([[[1, 1, 0]], [[1, 0, 2]]])
        >>> volume, volume.measure()[0]["voxels"]
        (Volume(2 x 1 x 3, 2 objects), 3)
    """

    def __init__(
        self,
        labels: ArrayLike,
        scores: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        class_names: tuple[str, ...] = ("object",),
    ) -> None:
        self.labels = check_labels(labels)
        if self.labels.ndim != 3:
            raise CongealError(f"expected a volume (Z, H, W), got shape {self.labels.shape}")
        self.voxels = np.bincount(self.labels.clip(0).ravel(), minlength=1)[1:]
        if self.labels.min(initial=0) < 0 or not self.voxels.all():
            raise CongealError("expected objects 1..K without gaps, see congeal.labels.relabel")
        count = len(self.voxels)
        self.scores = np.ones(count) if scores is None else np.asarray(scores, np.float64)
        self.classes = np.ones(count, np.int64) if classes is None else np.asarray(classes)
        self.class_names = class_names
        for what, column in (("scores", self.scores), ("classes", self.classes)):
            if column.shape != (count,):
                raise CongealError(f"expected {count} {what}, got shape {column.shape}")

    @classmethod
    def from_planes(
        cls,
        planes: Iterable[Contents],
        *,
        min_iou: float = 0.25,
        max_gap: int = 0,
        min_planes: int = 1,
    ) -> Volume:
        """Stitch the results of planes, see :func:`congeal.stitch_planes`.

        Args:
            planes: results of the same size, from first to last; iterated once.
            min_iou: minimum IoU of a match.
            max_gap: maximum number of consecutive planes in which an object may be missing.
            min_planes: objects in fewer planes are removed.

        Raises:
            CongealError: there is no plane, or sizes differ.

        Example:
            >>> from congeal.segmentation import Segmentation
            >>> plane = Segmentation.from_labels([[0, 1, 1]])
            >>> Volume.from_planes([plane, plane])
            Volume(2 x 1 x 3, 1 object)
        """
        stitcher, found = PlaneStitcher(min_iou, max_gap), []
        names: tuple[str, ...] = ()
        parts: list[NDArray[np.float64]] = []  # number, pixels, score of each object of each plane
        for plane in planes:
            labels = plane.labels
            numbers = stitcher.add(labels, plane.classes)
            inside = labels > 0
            pairs = np.unique(np.stack([numbers[inside], labels[inside]]), axis=1)
            pixels = np.bincount(labels[inside], minlength=len(plane) + 1)[pairs[1]]
            parts.append(np.stack([pairs[0], pixels, pixels * plane.scores[pairs[1] - 1]]))
            found.append(numbers)
            names = max(names, plane.class_names, key=len)
        if not found:
            raise CongealError("expected at least one plane, got none")
        which, pixels, weighed = np.concatenate(parts, 1)
        count = len(stitcher.classes)
        index = which.astype(np.int64)
        sums = [np.bincount(index, part, count + 1) for part in (pixels, weighed)]
        kinds = np.array([0, *stitcher.classes], np.int64)
        volume = np.stack(found)
        kept = kept_numbers(volume, count, min_planes)
        chosen = kept > 0
        scores = sums[1][chosen] / sums[0][chosen]
        return cls(kept[volume], scores, kinds[chosen], names)

    def __len__(self) -> int:
        return len(self.voxels)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.labels.shape))
        return f"Volume({size}, {len(self)} object{'s' * (len(self) != 1)})"

    def measure(self, size: VoxelSize | None = None) -> list[dict[str, Any]]:
        """Measure every object; see :data:`VOLUME_COLUMNS`."""
        size = VoxelSize() if size is None else size
        count = len(self)
        low, high, centre, planes = self._extent()
        lengths = (size.depth, size.scale.length, size.scale.length)
        edge = (low == 0).any(1) | (high == np.array(self.labels.shape)).any(1)
        unknown = (size.plane_distance, size.scale.pixel_size)
        far, pixel = (math.nan if one is None else one for one in unknown)
        rows = []
        for k in range(count):
            centroid = [float(c * length) for c, length in zip(centre[k], lengths, strict=True)]
            row = [k + 1, self.class_names[int(self.classes[k]) - 1], int(self.voxels[k])]
            row += [float(self.voxels[k] * size.volume), int(planes[k]), *centroid]
            row += [*low[k][::-1].tolist(), *high[k][::-1].tolist(), bool(edge[k])]
            row += [round(float(self.scores[k]), 6), size.scale.units, far, pixel]
            rows.append(dict(zip(VOLUME_COLUMNS, row, strict=True)))
        return rows

    def _extent(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], Any]:
        """Lower and exclusive upper bounds, centroid, ``(K, 3)`` each; planes ``(K,)``."""
        count = len(self)
        low = np.full((count, 3), np.iinfo(np.int64).max)
        high, sums = np.zeros((count, 3), np.int64), np.zeros((count, 3))
        planes = np.zeros(count, np.int64)
        for z, plane in enumerate(self.labels):
            y, x = np.nonzero(plane)
            index = plane[y, x] - 1
            present = np.unique(index)
            planes[present] += 1
            for axis, place in enumerate((np.full_like(y, z), y, x)):
                np.minimum.at(low[:, axis], index, place)
                np.maximum.at(high[:, axis], index, place + 1)
                sums[:, axis] += np.bincount(index, place, count)
        return low, high, sums / self.voxels[:, None], planes

    def save(self, path: str | Path, size: VoxelSize | None = None) -> Path:
        """Write the label volume (``.tif``) or the table of its objects (``.csv``).

        The TIFF has 16 bits and ImageJ tags, or 32 bits and OME-XML if there are more objects; it
        contains plane distance and pixel size if known.

        Raises:
            CongealError: the suffix is unknown, or the file cannot be written.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "a.tif"
            >>> tifffile.imread(Volume([[[1, 1, 0]], [[1, 0, 2]]]).save(path)).shape
            (2, 1, 3)
        """
        path, size = Path(path), VoxelSize() if size is None else size
        ending = path.suffix.lower()
        if ending not in (".tif", ".tiff", ".csv"):
            raise CongealError(
                f"expected a file name ending in .tif or .csv for a volume, got {path.name}"
            )
        with atomic_path(path) as temporary:
            if ending == ".csv":
                self._write_table(temporary, size)
            else:
                wide = len(self) > MAX_UINT16
                labels = self.labels.astype(np.uint32 if wide else np.uint16)
                tifffile.imwrite(temporary, labels, compression="zlib", **_tags(size, wide))
        return path

    def _write_table(self, path: Path, size: VoxelSize) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, VOLUME_COLUMNS, lineterminator="\n")
            writer.writeheader()
            for row in self.measure(size):
                writer.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"


def _tags(size: VoxelSize, wide: bool) -> dict[str, Any]:
    """Arguments of tifffile for distances: ImageJ tags, or OME for 32 bits (not in ImageJ)."""
    far, pixel = size.plane_distance, size.scale.pixel_size
    if wide:
        sides = {"Z": far, "Y": pixel, "X": pixel}
        metadata: dict[str, Any] = {"axes": "ZYX"}
        for axis, side in sides.items():
            if side is not None:
                metadata |= {f"PhysicalSize{axis}": side}
                metadata |= {f"PhysicalSize{axis}Unit": "\N{MICRO SIGN}m"}
        return {"ome": True, "metadata": metadata}
    metadata = {"axes": "ZYX"}
    if far is not None or pixel is not None:
        metadata["unit"] = "um"
    if far is not None:
        metadata["spacing"] = far
    resolution = {} if pixel is None else {"resolution": (1 / pixel, 1 / pixel)}
    return {"imagej": True, **resolution, "metadata": metadata}
