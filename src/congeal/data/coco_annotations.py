"""Conversion of the COCO annotations of an image to object masks and a label map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.runs import Runs, compress_runs, paint_runs, polygon_runs, rle_runs
from congeal.data.sample import LabelMap, ObjectMask
from congeal.errors import CongealError, quoted

__all__ = ["CocoImage", "coco_labels", "coco_masks", "is_key", "paint_annotations"]


@dataclass(frozen=True)
class CocoImage:
    """An image of a COCO file with its unparsed annotations.

    Attributes:
        name: name of the sample.
        path: the image file.
        source: the COCO file.
        size: height and width stated in the COCO file, None without.
        annotations: records of the COCO file.
    """

    name: str
    path: Path
    source: Path
    size: tuple[int, int] | None
    annotations: list[dict[str, Any]] = field(default_factory=list)


def is_key(value: Any) -> bool:
    """Whether a value is valid as id: a string, or an integer below 2**63 in absolute value.

    Example:
        >>> is_key("a"), is_key(10**50), is_key([1])
        (True, False, False)
    """
    return isinstance(value, str) or (type(value) is int and abs(value) < 2**63)


def coco_labels(entry: CocoImage, height: int, width: int) -> LabelMap:
    """Rasterise the annotations of an image into a label map `(H, W)`.

    Raises:
        CongealError: an annotation has no mask, or a mask that does not match the image.

    Example:
        >>> crowd = {"iscrowd": 1, "segmentation": {"size": [1, 3], "counts": [1, 2]}}
        >>> coco_labels(CocoImage("a", Path("a"), Path("b"), None, [crowd]), 1, 3).tolist()
        [[0, -1, -1]]
    """
    return paint_annotations(*coco_masks(entry, height, width), height, width)


def coco_masks(
    entry: CocoImage, height: int, width: int, class_of: Mapping[int, int] | None = None
) -> tuple[tuple[ObjectMask, ...], list[Runs]]:
    """Complete masks of the objects of an image in file order, followed by its crowds.

    Args:
        entry: the image.
        height: height of the image in pixels.
        width: width of the image in pixels.
        class_of: class id by category id; None: objects have no class.

    Returns:
        The masks, and the run lengths of each.

    Raises:
        CongealError: an annotation has no mask, an invalid mask, or an unknown category.

    Example:
        >>> part = {"segmentation": {"size": [1, 3], "counts": [1, 2]}}
        >>> masks, runs = coco_masks(CocoImage("a", Path("a"), Path("b"), None, [part]), 1, 3)
        >>> masks[0].area, runs[0].tolist()
        (2.0, [1, 2])
    """
    ordered = sorted(entry.annotations, key=lambda annotation: _is_crowd(annotation, entry))
    runs = [_runs(annotation, entry, height, width) for annotation in ordered]
    pairs = zip(ordered, runs, strict=True)
    return tuple(_mask(a, r, entry, height, class_of or {}) for a, r in pairs), runs


def _mask(
    annotation: dict[str, Any],
    runs: Runs,
    entry: CocoImage,
    height: int,
    class_of: Mapping[int, int],
) -> ObjectMask:
    category = annotation.get("category_id")
    if class_of and (type(category) is not int or category not in class_of):
        which = f"annotation {_shown_id(annotation)} of {entry.path.name}"
        raise CongealError(
            f"expected a category listed in {entry.source}, {which} has {quoted(category)}"
        )
    key = annotation.get("id")
    return ObjectMask(
        compress_runs(runs, height),
        class_id=class_of[category] if class_of and category is not None else None,
        area=_area(annotation.get("area"), runs),
        crowd=_is_crowd(annotation, entry),
        key=key if is_key(key) else None,
    )


def _shown_id(annotation: Mapping[str, Any]) -> str:
    key = annotation.get("id", "without id")
    return key if key == "without id" else quoted(key)


def _area(stated: Any, runs: Runs) -> float:
    """The stated area if it is valid, else the number of pixels."""
    if type(stated) in (int, float) and 0 <= stated < 2**63:
        return float(stated)
    return float(runs[1::2].sum())


def _is_crowd(annotation: Mapping[str, Any], entry: CocoImage) -> bool:
    """Parse iscrowd, which some tools write as text or omit."""
    value = annotation.get("iscrowd")
    crowd = {"": False, "0": False, "1": True, "false": False, "true": True}
    key = value.strip().lower() if isinstance(value, str) else value
    if key is None or (isinstance(key, int | float) and key in (0, 1)):
        return bool(key)
    if isinstance(key, str) and key in crowd:
        return crowd[key]
    which = f"annotation {_shown_id(annotation)} of {entry.path.name} in {entry.source}"
    raise CongealError(f"expected 0 or 1 as iscrowd, {which} has {quoted(value)}")


def paint_annotations(
    masks: tuple[ObjectMask, ...], runs: list[Runs], height: int, width: int
) -> LabelMap:
    """Paint masks into a label map: crowds first, then objects in descending order of area.

    Args:
        masks: objects, then crowds, as of `coco_masks`.
        runs: the run lengths of each.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        `(H, W)`, objects 1..K, crowds -1.

    Example:
        >>> paint_annotations((ObjectMask({}, None, 1.0),), [np.array([1, 1])], 1, 2).tolist()
        [[0, 1]]
    """
    labels = np.zeros((height, width), np.int64)
    count = sum(not mask.crowd for mask in masks)
    for crowd in runs[count:]:
        paint_runs(labels, crowd, -1)
    areas = [int(mask[1::2].sum()) for mask in runs[:count]]
    for k in sorted(range(count), key=lambda k: -areas[k]):
        paint_runs(labels, runs[k], k + 1)
    return labels


def _runs(annotation: dict[str, Any], entry: CocoImage, height: int, width: int) -> Runs:
    segmentation = annotation.get("segmentation")
    try:
        if isinstance(segmentation, list):
            return polygon_runs(segmentation, height, width)
        if isinstance(segmentation, dict):
            return rle_runs(segmentation, height, width)
        raise CongealError("it has no segmentation (polygons or run lengths)")
    except CongealError as error:
        what = f"annotation {_shown_id(annotation)} of {entry.path.name} in {entry.source}"
        raise CongealError(f"cannot use {what}: {error}") from error
