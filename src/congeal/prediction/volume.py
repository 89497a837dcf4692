"""Segmenting a volume plane by plane, and joining what is found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.images import read_pictures
from congeal.data.pixel_size import read_pixel_size
from congeal.errors import CongealError
from congeal.models.channels import stored_channels
from congeal.models.pixel_size import resize_factor
from congeal.prediction.single import Model, as_image, as_segmenter
from congeal.prediction.tiled import segment_image
from congeal.segmentation import Segmentation
from congeal.segmentation.formats import FORMATS
from congeal.segmentation.segmenter import Segmenter
from congeal.segmentation.volume import Volume, VoxelSize

__all__ = [
    "VOLUME_FORMATS",
    "VolumeResult",
    "check_objects",
    "check_volume_formats",
    "found_in_planes",
    "segment_volume",
]

VOLUME_FORMATS = ("tiff", "csv")
"""Names of the formats that a volume can be written in."""


def segment_volume(
    model: Model,
    stack: str | Path | Iterable[NDArray[Any]],
    *,
    min_iou: float = 0.25,
    max_gap: int = 0,
    min_planes: int = 1,
    device: str = "auto",
    pixel_size: float | None = None,
) -> Volume:
    """Find the objects of a volume: of each plane, joined from plane to plane by their overlap.

    Args:
        model: a model, its folder, or the name of a shipped one.
        stack: a TIFF of several pages, or the planes, ``(H, W)`` or ``(H, W, C)`` each.
        min_iou: least overlap of what is joined, as for :func:`congeal.stitch_planes`.
        max_gap: planes that an object may be missing in.
        min_planes: objects of fewer planes are left out.
        device: where a model given by path or name runs.
        pixel_size: micrometres per pixel of the planes; None: what the stack tells. As for
            :func:`congeal.segment`, planes are resized to the size of the training.

    Raises:
        CongealError: there is no such model or stack, or sizes differ.

    Example:
        >>> import numpy as np
        >>> import congeal
        >>> segment_volume(congeal.load("nuclei"), np.zeros((3, 20, 30), np.uint8))
        Volume(3 x 20 x 30, 0 objects)
    """
    if isinstance(stack, np.ndarray) and stack.ndim not in (3, 4):
        shape = tuple(stack.shape)
        raise CongealError(f"expected a volume (Z, Y, X) or (Z, Y, X, C), got shape {shape}")
    channels = stored_channels(model)
    planes: Iterable[NDArray[Any]]
    if isinstance(stack, str | Path):
        pixel_size = read_pixel_size(stack) if pixel_size is None else pixel_size
        planes = (one.pixels for one in read_pictures(stack, channels))
    else:
        planes = (as_image(one, channels) for one in stack)
    loaded = as_segmenter(model, device)
    found = found_in_planes(loaded, planes, resize_factor(loaded, pixel_size))
    return Volume.from_planes(found, min_iou=min_iou, max_gap=max_gap, min_planes=min_planes)


def found_in_planes(
    model: Segmenter, planes: Iterable[NDArray[Any]], factor: float = 1.0
) -> Iterable[Segmentation]:
    """Segment one plane after another, each resized by a factor for the model.

    Raises:
        CongealError: there is not the memory for a plane, or the model finds no objects.
    """
    for plane in planes:
        yield check_objects(segment_image(model, plane, factor=factor)[0])


def check_objects(result: Segmentation) -> Segmentation:
    """Refuse the result of a model that finds no objects.

    Raises:
        CongealError: it has no objects.

    Example:
        >>> import numpy as np
        >>> check_objects(Segmentation.from_labels(np.eye(2, dtype=np.int64)))
        Segmentation(2 x 2, 1 object)
    """
    if not result.has_objects:
        raise CongealError(f"expected a model of objects for a volume, got {result!r}")
    return result


def check_volume_formats(formats: Iterable[str]) -> None:
    """Refuse formats that are for images.

    Raises:
        CongealError: there is one.

    Example:
        >>> check_volume_formats(["tiff"])
    """
    for name in formats:
        if name in FORMATS and name not in VOLUME_FORMATS:
            raise CongealError(
                f"expected formats {' or '.join(VOLUME_FORMATS)} for --stack volume, got {name}"
            )


@dataclass(frozen=True, eq=False)
class VolumeResult:
    """The result of a volume, with what its files are written from.

    Attributes:
        result: the volume.
        size: of its voxels.
    """

    result: Volume
    size: VoxelSize

    def save(self, path: Path, file_name: str) -> Path:
        """Write a file in the format its name tells."""
        del file_name  # of the stack: no file of a volume has it inside
        return self.result.save(path, self.size)
