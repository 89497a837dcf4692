"""What a model finds in one tile, kept in a file until the tiles are joined."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from congeal.errors import CongealError
from congeal.files import atomic_path
from congeal.methods.maps import ImageStatistics
from congeal.methods.method import Method
from congeal.prediction.survey import is_empty
from congeal.prediction.tiles import Block, TilePlan, Window
from congeal.segmentation import Segmentation, Segmenter

__all__ = ["BlockResult", "Found", "block_path", "load_block", "save_block", "segment_block"]

MAPS = ("semantic", "probabilities", "boundary")
Layers = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Found:
    """The objects that a block sees, a row each; ids in its layers are rows plus 1.

    Attributes:
        boxes: ``(N, 4)`` top, left, bottom, right in the image.
        first: ``(N, 2)`` row and column of the first pixel in the image, in the order of reading.
        areas: ``(N,)`` pixels in the tile.
        core_first: the first pixel in the core; beyond the image where there is none.
        core_areas: pixels in the core.
        whole: whether all pixels are trusted, so that no edge of the tile cuts the object.
        owned: whether the object is whole and this block is the one that answers for it.
        scores: ``(N,)`` float32.
        classes: ``(N,)`` int64.
    """

    boxes: NDArray[np.int64]
    first: NDArray[np.int64]
    areas: NDArray[np.int64]
    core_first: NDArray[np.int64]
    core_areas: NDArray[np.int64]
    whole: NDArray[np.bool_]
    owned: NDArray[np.bool_]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.areas)


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What a model finds in one tile.

    Attributes:
        layers: ``(L, h, w)`` int32 ids of the objects in the tile, 0 none; objects of different
            layers may overlap, and there is one layer where none do.
        found: the objects.
        maps: semantic, probabilities and boundary of the core, where the model gives them.
        class_names: as in :class:`congeal.Segmentation`.
        has_objects: whether objects were looked for.
    """

    layers: Layers
    found: Found
    maps: dict[str, NDArray[Any]]
    class_names: tuple[str, ...] = ()
    has_objects: bool = True


def segment_block(
    model: Segmenter, image: Any, plan: TilePlan, number: int, statistics: ImageStatistics | None
) -> BlockResult:
    """Predict one tile of an image.

    A tile of zeros holds no object, and the model is not asked.

    Args:
        model: a method, or anything that segments.
        image: `(H, W, C)`, or anything whose slices are arrays.
        plan: of the tiles.
        number: of the block.
        statistics: of the whole image, which a method needs.

    Example:
        >>> from congeal.prediction.tiles import plan_tiles
        >>> from congeal import RPE
        >>> plan = plan_tiles((64, 96), tile=64, overlap=32)
        >>> segment_block(RPE(), np.zeros((64, 96, 1)), plan, 0, None).layers.shape
        (1, 64, 64)
    """
    block = plan.blocks[number]
    pixels = np.ascontiguousarray(image[block.tile.slices])
    if is_empty(pixels) and getattr(getattr(model, "task", None), "output", "objects") == "objects":
        return _describe(np.zeros((1, *block.tile.size), np.int32), None, plan, block)
    result = _segment(model, pixels, statistics)
    return _describe(_layers(result), result, plan, block)


def _segment(
    model: Segmenter, pixels: NDArray[Any], statistics: ImageStatistics | None
) -> Segmentation:
    if isinstance(model, Method):
        return model.decode(model.predict_maps(pixels, statistics))
    return model.segment(pixels)


def _layers(result: Segmentation) -> Layers:
    """Objects as label maps, each in the first layer in which it overlaps no other."""
    if result.disjoint:
        return result.labels.astype(np.int32)[None]
    layers = [np.zeros(result.shape, np.int32)]
    for number, crop in enumerate(result.crops(), 1):
        free = (layer for layer in layers if not layer[crop.window][crop.mask].any())
        layer = next(free, None)
        if layer is None:
            layer = np.zeros(result.shape, np.int32)
            layers.append(layer)
        layer[crop.window][crop.mask] = number
    return np.stack(layers)


def _describe(
    layers: Layers, result: Segmentation | None, plan: TilePlan, block: Block
) -> BlockResult:
    count = 0 if result is None else len(result)
    core, inside = block.core.within(block.tile), block.trusted.within(block.tile)
    areas = np.bincount(layers.ravel(), minlength=count + 1)[1:]
    trusted = np.bincount(layers[:, *inside.slices].ravel(), minlength=count + 1)[1:]
    boxes = _boxes(layers, count) + np.tile((block.tile.top, block.tile.left), 2)
    first = _first(layers, block.tile, count, plan.size)
    whole = areas == trusted
    found = Found(
        boxes,
        first,
        areas,
        _first(layers[:, *core.slices], block.core, count, plan.size),
        np.bincount(layers[:, *core.slices].ravel(), minlength=count + 1)[1:],
        whole,
        np.array([_owns(plan, block, *one) for one in zip(whole, first, boxes, strict=True)], bool),
        np.zeros(0, np.float32) if result is None else result.scores,
        np.zeros(0, np.int64) if result is None else result.classes,
    )
    if result is None:
        return BlockResult(layers, found, {})
    held = {name: getattr(result.maps, name) for name in result.maps.held}
    maps = {name: one[..., core.slices[0], core.slices[1]] for name, one in held.items()}
    return BlockResult(layers, found, maps, result.class_names, result.has_objects)


def _owns(
    plan: TilePlan, block: Block, whole: bool, first: NDArray[np.int64], box: NDArray[np.int64]
) -> bool:
    if not whole:
        return False
    place = int(first[0]), int(first[1])
    return plan.responsible(place, Window(*map(int, box))) == block.number


def _boxes(layers: Layers, count: int) -> NDArray[np.int64]:
    """Boxes ``(N, 4)`` in the tile; an object is in one layer only."""
    boxes = np.zeros((count, 4), np.int64)
    for layer in layers:
        for row, window in enumerate(ndimage.find_objects(layer)):
            if window is not None:
                (top, bottom), (left, right) = ((one.start, one.stop) for one in window)
                boxes[row] = top, left, bottom, right
    return boxes


def _first(
    layers: Layers, window: Window, count: int, beyond: tuple[int, int]
) -> NDArray[np.int64]:
    """The first pixel ``(N, 2)`` of each object in a window of the image."""
    first = np.tile(np.array(beyond, np.int64), (count, 1))
    for layer in layers:
        places = np.flatnonzero(layer)
        ids, index = np.unique(layer.reshape(-1)[places], return_index=True)
        rows, columns = np.divmod(places[index], layer.shape[1])
        first[ids - 1] = np.stack([rows + window.top, columns + window.left], 1)
    return first


def block_path(folder: Path, number: int) -> Path:
    """The file of a block; it is there once the block is done, and never half written."""
    return folder / f"block_{number:06d}.npz"


def save_block(folder: Path, number: int, result: BlockResult) -> Path:
    """Write the result of a block in one step.

    Raises:
        CongealError: it cannot be written.
    """
    small = np.uint16 if len(result.found) < 2**16 else np.uint32
    arrays: dict[str, Any] = {"layers": result.layers.astype(small), **vars(result.found)}
    arrays |= {f"map_{name}": one for name, one in result.maps.items()}
    arrays |= {"class_names": np.array(result.class_names, str), "has_objects": result.has_objects}
    write = np.savez if result.maps else np.savez_compressed  # maps hardly shrink
    path = block_path(folder, number)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        write(file, **arrays)
    return path


def load_block(folder: Path, number: int) -> BlockResult:
    """Read what :func:`save_block` has written.

    Raises:
        CongealError: the file is missing or damaged.
    """
    path = block_path(folder, number)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        found = Found(**{name: arrays[name] for name in Found.__dataclass_fields__})
        maps = {name: arrays[f"map_{name}"] for name in MAPS if f"map_{name}" in arrays}
        names = tuple(map(str, arrays["class_names"]))
        layers = arrays["layers"].astype(np.int32)
        return BlockResult(layers, found, maps, names, bool(arrays["has_objects"]))
    except FileNotFoundError as error:
        raise CongealError(
            f"expected the result of a tile in {path}, it is gone, perhaps by another run that was "
            "done first; the same command goes on"
        ) from error
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise CongealError(
            f"expected the result of a tile in {path}, it is damaged: remove it, and the same "
            "command makes it again"
        ) from error
