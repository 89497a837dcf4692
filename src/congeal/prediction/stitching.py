"""The result of a whole image, painted from the files of its blocks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from congeal.prediction.blocks import BlockResult, load_block
from congeal.prediction.seams import SHIFT, Joined, Seams, join_blocks
from congeal.prediction.tiles import Block, TilePlan, Window
from congeal.segmentation import Segmentation
from congeal.segmentation.columns import check_class_names
from congeal.segmentation.maps import Maps
from congeal.segmentation.objects import Crop, LabelObjects, ObjectMasks, objects_from_crops

__all__ = ["Canvas", "paint_labels", "stitch"]


class Canvas(Protocol):
    """A label map that is painted window by window: an array, or a chunked file."""

    def __getitem__(self, window: Any) -> Any:
        """Give the pixels of a window."""

    def __setitem__(self, window: Any, value: Any) -> None:
        """Change the pixels of a window."""


def stitch(folder: Path, plan: TilePlan) -> tuple[Segmentation, Seams]:
    """Join the blocks of an image into one result.

    Maps of classes and boundaries are memory-mapped files; only the label map is in memory.

    Args:
        folder: of the files of the blocks.
        plan: of the tiles.

    Raises:
        CongealError: a file is missing or damaged.
    """
    joined, seams = join_blocks(folder, plan)
    disjoint, has_objects, maps = True, True, _Maps(plan)
    names: tuple[str, ...] = ()
    for block in plan.blocks:
        result = load_block(folder, block.number)
        disjoint &= len(result.layers) == 1
        has_objects &= result.has_objects
        names = max(names, result.class_names, key=len)
        maps.take(block, result)
    objects: ObjectMasks
    if disjoint:
        labels = np.zeros(plan.size, np.int32)
        joined = paint_labels(folder, plan, joined, labels)
        objects = LabelObjects(labels, len(joined))
    else:
        objects = objects_from_crops(list(_crops(folder, plan, joined)), plan.size)
    scores = np.array([one.score for one in joined], np.float32)
    classes = np.array([one.category for one in joined], np.int64)
    names = check_class_names(classes, names or None, maps.maps.highest)
    return Segmentation(objects, scores, classes, names, None, maps.maps, has_objects), seams


def paint_labels(
    folder: Path, plan: TilePlan, joined: Sequence[Joined], canvas: Canvas
) -> list[Joined]:
    """Paint objects into a label map; where objects overlap, what is painted first stays.

    Args:
        folder: of the files of the blocks.
        plan: of the tiles.
        joined: the objects, numbered 1..N in this order.
        canvas: `(H, W)`, zero everywhere.

    Returns:
        The objects that have a pixel, in the order of their numbers.
    """
    painted = np.zeros(len(joined) + 1, np.int64)
    for whole in (True, False):
        for block, result, table in _tables(folder, plan, joined, whole):
            window = block.tile if whole else block.core
            under = np.array(canvas[window.slices])
            for layer in result.layers:
                ids = table[layer[window.within(block.tile).slices]]
                new = (ids > 0) & (under == 0)
                under[new] = ids[new]
                painted += np.bincount(ids[new], minlength=len(painted))
            canvas[window.slices] = under
    there = np.flatnonzero(painted[1:] > 0)
    if len(there) < len(joined):
        table = np.zeros(len(painted), np.int32)
        table[there + 1] = np.arange(1, len(there) + 1)
        for block in plan.blocks:
            canvas[block.core.slices] = table[np.asarray(canvas[block.core.slices])]
    return [joined[int(index)] for index in there]


def _tables(
    folder: Path, plan: TilePlan, joined: Sequence[Joined], whole: bool
) -> Iterator[tuple[Block, BlockResult, NDArray[np.int32]]]:
    """Blocks with objects to paint, and the number of each of their ids in the image."""
    members: dict[int, list[tuple[int, int]]] = {}
    for number, one in enumerate(joined, 1):
        if one.whole == whole:
            for member in one.members:
                local = member & (2**SHIFT - 1)
                members.setdefault(member >> SHIFT, []).append((local, number))
    for block in plan.blocks:
        if block.number in members:
            result = load_block(folder, block.number)
            table = np.zeros(len(result.found) + 1, np.int32)
            local, numbers = zip(*members[block.number], strict=True)
            table[list(local)] = numbers
            yield block, result, table


def _crops(folder: Path, plan: TilePlan, joined: Sequence[Joined]) -> Iterator[Crop]:
    """The objects one by one, each cut to its box, where some overlap."""
    parts: dict[int, list[Crop]] = {}
    for whole in (True, False):
        for block, result, table in _tables(folder, plan, joined, whole):
            window = block.tile if whole else block.core
            for local in np.flatnonzero(table).tolist():
                crop = _crop(result, block, window, local)
                parts.setdefault(int(table[local]), []).append(crop)
    for number in range(1, len(joined) + 1):
        yield _unite(parts[number])


def _crop(result: BlockResult, block: Block, window: Window, local: int) -> Crop:
    """An object of a block, as far as it lies in a window."""
    box = Window(*result.found.boxes[local - 1].tolist()).meet(window) or window
    mask = (result.layers[:, *box.within(block.tile).slices] == local).any(0)
    return Crop(box.top, box.left, mask)


def _unite(parts: list[Crop]) -> Crop:
    top, left = min(part.top for part in parts), min(part.left for part in parts)
    ends = [(part.window[0].stop, part.window[1].stop) for part in parts]
    bottom, right = (max(axis) for axis in zip(*ends, strict=True))
    mask = np.zeros((bottom - top, right - left), bool)
    for part in parts:
        rows, columns = part.window
        mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] |= (
            part.mask
        )
    return Crop(top, left, mask)


class _Maps:
    """Maps of an image, each in an unnamed file; 0 where no block has a value."""

    def __init__(self, plan: TilePlan) -> None:
        self.plan = plan
        self.held: dict[str, NDArray[Any]] = {}

    def take(self, block: Block, result: BlockResult) -> None:
        """Put the maps of a block in their place."""
        for name, part in result.maps.items():
            if name not in self.held:
                self.held[name] = _in_file((*part.shape[:-2], *self.plan.size), part.dtype)
            self.held[name][..., block.core.slices[0], block.core.slices[1]] = part

    @property
    def maps(self) -> Maps:
        """The maps that are there."""
        return Maps(**self.held)


def _in_file(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of zeros in a file that goes when the array does."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)
