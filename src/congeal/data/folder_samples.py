"""Reading of one sample of a user's folder: image, masks and classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from congeal.data.classes import FolderClasses, paint_classes
from congeal.data.images import Channels, read_image, read_labels
from congeal.data.pairs import Pair, check_sizes, mask_files, read_masks, read_pair
from congeal.data.sample import LabelMap, Sample
from congeal.data.semantic import class_regions, object_classes
from congeal.errors import CongealError
from congeal.labels import relabel

__all__ = [
    "merge_class_masks",
    "read_folder_sample",
    "read_semantic",
    "stored_labels",
    "unknown_rows",
]

# Values that mean void in semantic maps, unless there are that many classes.
_VOID_CLASSES = (255, 65535)


def read_folder_sample(pair: Pair, classes: FolderClasses, channels: Channels = None) -> Sample:
    """Read an image with its object labels, semantic map and classes.

    Args:
        pair: the files.
        classes: the classes of the folder.
        channels: image channels to read, as in `read_image`.

    Raises:
        CongealError: a file cannot be read, sizes differ, or a semantic map has an unnamed class.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8)).save(path)
        >>> cells = FolderClasses(("background", "cell"), rows={path: {"2": 1}})
        >>> sample = read_folder_sample(Pair("a", path, path), cells)
        >>> sample.classes.tolist(), sample.semantic.tolist()
        ([-1, 1], [[0, -1], [-1, 1]])
    """
    if not classes.names:
        return read_pair(pair, channels)
    image = read_image(pair.image, channels)
    semantic = None if pair.semantic is None else read_semantic(pair.semantic, classes)
    if semantic is not None and pair.semantic is not None:
        check_sizes(image.shape[:2], pair.image, semantic.shape, pair.semantic)
    if semantic is not None and pair.mask == pair.semantic:
        labels, by_object = class_regions(semantic)
    else:
        labels, by_object = _read_objects(pair, classes, semantic)
        check_sizes(image.shape[:2], pair.image, labels.shape, pair.mask)
    if semantic is None:
        semantic = paint_classes(labels, by_object)
    return Sample(pair.name, image, labels, pair.image, semantic=semantic, classes=by_object)


def _read_objects(
    pair: Pair, classes: FolderClasses, semantic: LabelMap | None
) -> tuple[LabelMap, LabelMap]:
    """Labels 1..K, and the class of each object `(K,)`."""
    if pair.class_masks:
        numbered = [(classes.names.index(name), path) for name, path in pair.class_masks]
        return merge_class_masks(numbered)
    stored = stored_labels(pair)
    labels = relabel(stored)
    if classes.rows is not None:
        rows = classes.rows.get(pair.image, {})
        by_object = [rows.get(key, -1) for key in _object_keys(pair, stored)]
        return labels, np.array(by_object, np.int64)
    if semantic is None or semantic.shape != labels.shape:
        return labels, np.full(int(labels.max(initial=0)), -1, np.int64)
    return labels, object_classes(labels, semantic)


def stored_labels(pair: Pair) -> LabelMap:
    """Read the label map of a pair, numbered as in the file, `(H, W)`.

    Raises:
        CongealError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.fromarray(np.array([[0, 7]], np.uint8)).save(path)
        >>> stored_labels(Pair("a", path, path)).tolist()
        [[0, 7]]
    """
    return read_masks(pair.mask) if pair.mask.is_dir() else read_labels(pair.mask)


def _object_keys(pair: Pair, stored: LabelMap) -> list[str]:
    """Keys of the objects in ``classes.csv``: their labels, or the names of their mask files."""
    numbers = np.unique(stored[stored > 0]).tolist()
    if not pair.mask.is_dir():
        return [str(number) for number in numbers]
    stems = [path.stem for path in mask_files(pair.mask)]
    return [_without_zeros(stems[number - 1]) for number in numbers]


def _without_zeros(stem: str) -> str:
    return str(int(stem)) if stem.isdecimal() else stem


def unknown_rows(pair: Pair, classes: FolderClasses) -> list[str]:
    """Labels in ``classes.csv`` that do not occur in the mask of the image.

    Raises:
        CongealError: the mask cannot be read.

    Example:
        >>> unknown_rows(Pair("a", Path("a.png"), Path("a.png")), FolderClasses())
        []
    """
    rows = (classes.rows or {}).get(pair.image, {})
    existing = set(_object_keys(pair, stored_labels(pair))) if rows else set()
    return [label for label in rows if label not in existing]


def read_semantic(path: Path, classes: FolderClasses) -> LabelMap:
    """Read a semantic map `(H, W)`: 0 background, -1, 255 and 65535 void (returned as -1).

    Raises:
        CongealError: the file cannot be read, or has an unnamed class.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.fromarray(np.array([[0, 1, 255]], np.uint8)).save(path)
        >>> read_semantic(path, FolderClasses(("background", "cell"))).tolist()
        [[0, 1, -1]]
    """
    semantic = read_labels(path)
    named = len(classes.names) - 1
    for void in _VOID_CLASSES:
        if void > named:
            semantic[semantic == void] = -1
    highest = int(semantic.max(initial=0))
    if highest > named:
        raise CongealError(
            f"expected class ids up to {named}, the last in classes.txt, {path} has {highest}"
        )
    if classes.zero_is_void:
        semantic[semantic == 0] = -1
    return semantic


def merge_class_masks(masks: Sequence[tuple[int, Path]]) -> tuple[LabelMap, LabelMap]:
    """Merge the masks of several classes into one label map.

    Objects are numbered class by class. Where objects overlap, the smaller one is on top. A pixel
    that is void in one mask and in no object is void.

    Args:
        masks: for each class its id, and a label map file or a folder of binary masks.

    Returns:
        Labels 1..K `(H, W)`, and the class of each object `(K,)`.

    Raises:
        CongealError: a mask cannot be read, or sizes differ.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, row in (("a.png", [[1, 1, 1, 0]]), ("b.png", [[0, 0, 5, 5]])):
        ...     Image.fromarray(np.array(row, np.uint8)).save(folder / name)
        >>> labels, classes = merge_class_masks([(1, folder / "a.png"), (2, folder / "b.png")])
        >>> labels.tolist(), classes.tolist()
        ([[1, 1, 2, 2]], [1, 2])
    """
    labels, sizes, classes = np.zeros(0, np.int64), np.full(1, np.inf), np.zeros(0, np.int64)
    for number, path in masks:
        stored = read_masks(path) if path.is_dir() else read_labels(path)
        if labels.size == 0:
            labels = np.zeros(stored.shape, np.int64)
        check_sizes(labels.shape, masks[0][1], stored.shape, path)
        added = relabel(stored)
        areas = np.bincount(added[added > 0], minlength=int(added.max(initial=0)) + 1)[1:]
        shifted = np.where(added > 0, added + len(classes), 0)  # numbered after earlier classes
        sizes = np.concatenate([sizes, areas])
        classes = np.concatenate([classes, np.full(len(areas), number, np.int64)])
        on_top = (added > 0) & (sizes[shifted] < sizes[np.maximum(labels, 0)])
        labels = np.where(on_top, shifted, np.where((labels == 0) & (added < 0), -1, labels))
    present = np.unique(labels[labels > 0])
    return relabel(labels), classes[present - 1]
