"""The table of the objects in a label image of Zarr, measured window by window."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from congeal.errors import CongealError
from congeal.prediction.provenance import OTHER_FOLDER, OVERWRITE_OR_MOVE
from congeal.prediction.seams import Joined
from congeal.segmentation import Segmentation
from congeal.segmentation.measure import columns_of, measure
from congeal.segmentation.scale import Scale
from congeal.segmentation.voxels import VOLUME_COLUMNS

__all__ = ["measure_windows", "refuse_table", "table_path"]

WINDOW = 1024  # pixels: objects whose boxes begin in one window are measured together
HEADS = ("image", columns_of(0)[0]), VOLUME_COLUMNS[:2]  # of tables that congeal writes

Boxes = NDArray[np.int64]


def table_path(output: Path) -> Path:
    """Where the table of the objects of a store lies: beside it.

    Example:
        >>> table_path(Path("out/plate.zarr")).name
        'plate_objects.csv'
    """
    return output.with_name(f"{output.stem}_objects.csv")


def refuse_table(path: Path, overwrite: bool) -> None:
    """Refuse to replace a table, unless asked to, and what is no table of congeal in any case.

    Raises:
        CongealError: something is in the way.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise CongealError(f"expected no file at {path}, there is one: {OVERWRITE_OR_MOVE}")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = tuple(file.readline(1000).strip().split(",")[:2])
    except OSError:
        head = ()
    if head not in HEADS:
        raise CongealError(
            f"expected a table of an earlier run in {path}, found another: {OTHER_FOLDER}"
        )


def measure_windows(
    labels: Any, image: Any, objects: Sequence[Joined], names: tuple[str, ...], scale: Scale
) -> Iterator[dict[str, Any]]:
    """Measure the objects of a label image, in the order of their numbers within each window.

    Args:
        labels: ``(H, W)``, of Zarr.
        image: ``(H, W, C)``, whose slices are arrays.
        objects: 1..N.
        names: of the classes.
        scale: of the pixels.
    """
    boxes = _boxes(labels, len(objects))
    cells = boxes[:, :2] // WINDOW
    order = np.lexsort((np.arange(len(boxes)), cells[:, 1], cells[:, 0]))
    starts = np.flatnonzero(np.any(np.diff(cells[order], axis=0, prepend=-1) != 0, axis=1))
    for group in np.split(order, starts[1:]) if len(order) else ():
        wide = (boxes[group, 2:] - boxes[group, :2]).max(1) > WINDOW
        for some in (group[~wide], *(group[wide][:, None])):  # a large one by itself
            if len(some):
                yield from _measure(labels, image, some, boxes, objects, names, scale)


def _boxes(labels: Any, count: int) -> Boxes:
    """Top, left, bottom, right of each object, ``(N, 4)``."""
    boxes = np.tile(np.array([*labels.shape, 0, 0], np.int64), (count, 1))
    for top in range(0, labels.shape[0], WINDOW):
        for left in range(0, labels.shape[1], WINDOW):
            part = np.asarray(labels[top : top + WINDOW, left : left + WINDOW])
            ids, local = np.unique(part, return_inverse=True)
            for number, window in zip(
                ids, ndimage.find_objects(local.reshape(part.shape) + 1), strict=True
            ):
                if number:
                    rows, columns = window
                    box = boxes[int(number) - 1]
                    box[:2] = np.minimum(box[:2], (top + rows.start, left + columns.start))
                    box[2:] = np.maximum(box[2:], (top + rows.stop, left + columns.stop))
    return boxes


def _measure(
    labels: Any,
    image: Any,
    chosen: NDArray[np.int64],
    boxes: Boxes,
    objects: Sequence[Joined],
    names: tuple[str, ...],
    scale: Scale,
) -> Iterator[dict[str, Any]]:
    top, left = boxes[chosen, :2].min(0).tolist()
    bottom, right = boxes[chosen, 2:].max(0).tolist()
    window = slice(top, bottom), slice(left, right)
    chosen = np.sort(chosen)
    part = np.asarray(labels[window]).astype(np.int64)
    place = np.searchsorted(chosen + 1, part).clip(max=len(chosen) - 1)
    own = np.where(chosen[place] + 1 == part, place + 1, 0)
    found = Segmentation.from_labels(
        own,
        [objects[int(one)].score for one in chosen],
        [objects[int(one)].category for one in chosen],
        names,
    )
    height, width = labels.shape
    for number, row in zip(chosen, measure(found, np.asarray(image[window]), scale), strict=True):
        y0, x0, y1, x1 = boxes[number].tolist()
        row["centroid_y"] += top * scale.length
        row["centroid_x"] += left * scale.length
        edge = y0 == 0 or x0 == 0 or y1 == height or x1 == width
        own_place = {"x0": x0, "y0": y0, "x1": x1, "y1": y1, "touches_border": edge}
        yield {**row, **own_place, "label": int(number) + 1}
