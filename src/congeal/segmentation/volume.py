"""The segmentation of a volume: objects, measurements and file formats."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
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
from congeal.segmentation.voxels import VOLUME_COLUMNS, VoxelSize, VoxelTally

__all__ = [
    "VOLUME_COLUMNS",
    "Volume",
    "VoxelSize",
    "pool_scores",
    "weigh_scores",
    "write_volume_table",
]

MAX_UINT16 = 65_535  # largest number of objects in a 16-bit label map


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
            parts.append(weigh_scores(numbers, labels, plane.scores))
            found.append(numbers)
            names = max(names, plane.class_names, key=len)
        if not found:
            raise CongealError("expected at least one plane, got none")
        volume, count = np.stack(found), len(stitcher.classes)
        kept = kept_numbers(volume, count, min_planes)
        chosen = kept[1:] > 0
        classes = np.array(stitcher.classes, np.int64)
        return cls(kept[volume], pool_scores(parts, count)[chosen], classes[chosen], names)

    def __len__(self) -> int:
        return len(self.voxels)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.labels.shape))
        return f"Volume({size}, {len(self)} object{'s' * (len(self) != 1)})"

    def measure(self, size: VoxelSize | None = None) -> list[dict[str, Any]]:
        """Measure every object; see :data:`VOLUME_COLUMNS`."""
        size = VoxelSize() if size is None else size
        tally = VoxelTally()
        for plane in self.labels:
            tally.add(plane)
        names = [self.class_names[int(one) - 1] for one in self.classes]
        return tally.rows(self.scores, names, size)

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
                write_volume_table(temporary, self.measure(size))
            else:
                wide = len(self) > MAX_UINT16
                labels = self.labels.astype(np.uint32 if wide else np.uint16)
                tifffile.imwrite(temporary, labels, compression="zlib", **_tags(size, wide))
        return path


def weigh_scores(
    numbers: NDArray[np.int64], labels: NDArray[np.int64], scores: ArrayLike
) -> NDArray[np.float64]:
    """Pixel counts and weighted scores of the objects of a plane, by volume label.

    Args:
        numbers: ``(H, W)``, labels of the volume.
        labels: ``(H, W)``, labels of the plane.
        scores: ``(K,)``, scores of the objects of the plane.

    Returns:
        ``(3, P)``: volume label, pixels, and pixels times score.
    """
    inside = labels > 0
    pairs = np.unique(np.stack([numbers[inside], labels[inside]]), axis=1)
    pixels = np.bincount(labels[inside], minlength=len(np.asarray(scores)) + 1)[pairs[1]]
    return np.stack([pairs[0], pixels, pixels * np.asarray(scores)[pairs[1] - 1]])


def pool_scores(parts: Sequence[NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    """Mean score of each object of a volume over its voxels, ``(count,)``.

    Args:
        parts: of all planes, from :func:`weigh_scores`.
        count: objects in the volume.

    Example:
        >>> planes = [weigh_scores(np.array([[1, 1]]), np.array([[1, 1]]), [s]) for s in (0.5, 1.0)]
        >>> pool_scores(planes, 1).tolist()
        [0.75]
    """
    numbers, pixels, weighed = np.concatenate(parts, 1)
    index = numbers.astype(np.int64)
    sums = [np.bincount(index, column, count + 1)[1:] for column in (pixels, weighed)]
    return np.asarray(sums[1] / sums[0], np.float64)


def write_volume_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write measurements of the objects of a volume as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, VOLUME_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
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
