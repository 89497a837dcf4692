"""Export to COCO JSON with run-length masks, readable by pycocotools and annotation tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from congeal.segmentation.contents import Contents
from congeal.segmentation.objects import Crop

__all__ = ["coco_document", "encode_crop"]


def _runs(crop: Crop, shape: tuple[int, int]) -> list[int]:
    """Run lengths of a mask in the whole image, column-major, starting with zeros."""
    height, width = shape
    rows, columns = crop.mask.shape
    padded = np.zeros((columns, rows + 2), bool)
    padded[:, 1:-1] = crop.mask.T
    # Along a padded column every second change begins a run and the next one ends it.
    column, row = np.nonzero(padded[:, 1:] != padded[:, :-1])
    bounds = np.empty(len(row) + 2, np.int64)
    bounds[0], bounds[-1] = 0, height * width
    bounds[1:-1] = (column + crop.left) * height + crop.top + row
    # A run at the bottom of a column continues at the top of the next: merge them.
    again = np.flatnonzero(bounds[2:-1] == bounds[1:-2]) + 1
    if len(again):
        bounds = np.delete(bounds, np.concatenate([again, again + 1]))
    counts: list[int] = (bounds[1:] - bounds[:-1]).tolist()
    return counts if counts[-1] else counts[:-1]


def encode_crop(crop: Crop, shape: tuple[int, int]) -> dict[str, Any]:
    """Encode a mask in an image of ``shape`` as COCO run-length code, without the full mask.

    Example:
        >>> encode_crop(Crop(0, 1, np.ones((2, 1), bool)), (2, 3))
        {'size': [2, 3], 'counts': '222'}
    """
    height, width = shape
    runs = {"size": [height, width], "counts": _runs(crop, shape)}
    code = coco_mask.frPyObjects(runs, height, width)
    return {"size": [height, width], "counts": code["counts"].decode("ascii")}


def _annotation(crop: Crop, shape: tuple[int, int]) -> dict[str, Any]:
    height, width = crop.mask.shape
    return {
        "segmentation": encode_crop(crop, shape),
        "area": int(crop.mask.sum()),
        "bbox": [crop.left, crop.top, width, height],
        "iscrowd": 0,
    }


def coco_document(results: Iterable[tuple[str, Contents]]) -> dict[str, Any]:
    """Build a COCO document from the results of one or more images.

    Args:
        results: file name and result of each image.

    Returns:
        The document for JSON: images, annotations (each with a score), categories.

    Example:
        >>> from congeal.segmentation import Segmentation
        >>> result = Segmentation.from_labels(np.eye(3, dtype=int))
        >>> coco_document([("a.png", result)])["annotations"][0]["bbox"]
        [0, 0, 3, 3]
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    names: tuple[str, ...] = ()
    for image, (file_name, result) in enumerate(results, start=1):
        height, width = result.shape
        images.append({"id": image, "file_name": file_name, "width": width, "height": height})
        names = max(names, result.class_names, key=len)
        table = zip(result.crops(), result.classes.tolist(), result.scores.tolist(), strict=True)
        for crop, kind, score in table:
            own = {"id": len(annotations) + 1, "image_id": image, "category_id": kind}
            annotations.append(own | _annotation(crop, result.shape) | {"score": round(score, 6)})
    return {
        "info": {"description": "objects found by congeal", "version": "1.0"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": i, "name": name, "supercategory": "object"}
            for i, name in enumerate(names, start=1)
        ],
    }
