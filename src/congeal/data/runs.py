"""Run-length encoding of masks as in COCO: column-major, starting with a run of zeros."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.sample import LabelMap
from congeal.errors import CongealError, quoted

__all__ = [
    "compress_runs",
    "is_empty_rle",
    "paint_runs",
    "parse_counts",
    "polygon_runs",
    "rle_runs",
]

Runs = NDArray[np.int64]


def parse_counts(text: str) -> list[int]:
    """Decode COCO's compressed run lengths (``counts`` as string).

    A number is a sequence of characters with 5 bits each, least significant first; bit 6 means that
    more follow, and the highest bit of the last character is the sign. From the fourth number on,
    the difference to the second previous number is stored.

    Raises:
        CongealError: the text ends within a number or has an invalid character.

    Example:
        >>> parse_counts("134")
        [1, 3, 4]
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise CongealError(f"the run lengths have an invalid character {quoted(character)}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        value -= (1 << shift) if code & 16 else 0
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    if shift:
        raise CongealError("the run lengths are truncated")
    return numbers


def rle_runs(segmentation: dict[str, Any], height: int, width: int) -> Runs:
    """Validate a run-length mask, compressed or not, and return its run lengths.

    Raises:
        CongealError: the size differs, or the runs do not sum to the number of pixels.

    Example:
        >>> rle_runs({"size": [2, 3], "counts": [1, 2, 3]}, 2, 3).tolist()
        [1, 2, 3]
    """
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size is not None and (not isinstance(size, list | tuple) or [*size] != [height, width]):
        raise CongealError(f"its size is {quoted(size)}, the image is [{height}, {width}]")
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", "replace")
    if isinstance(counts, str):
        counts = parse_counts(counts)
    if not isinstance(counts, list) or not all(type(n) is int and n >= 0 for n in counts):
        raise CongealError("its run lengths are not integers of at least 0")
    covered = sum(counts)
    if covered != height * width:
        raise CongealError(
            f"its runs cover {quoted(covered)} pixels, the image has {height * width}"
        )
    return np.array(counts, np.int64)


def polygon_runs(polygons: list[Any], height: int, width: int) -> Runs:
    """Rasterise the union of polygons ``[x0, y0, x1, y1, ...]``; under three points they are empty.

    Raises:
        CongealError: a polygon is not a list of coordinate pairs, or lies far outside the image.

    Example:
        >>> polygon_runs([[0, 0, 2, 0, 2, 2, 0, 2]], 2, 3).tolist()
        [0, 4, 2]
    """
    from pycocotools import mask as coco_mask

    parsed = [_coordinates(p, max(height, width)) for p in polygons]
    solid = [points for points in parsed if len(points) >= 6]
    if not solid:
        return np.array([height * width], np.int64)
    joined = coco_mask.merge(coco_mask.frPyObjects(solid, height, width))
    return np.array(parse_counts(joined["counts"].decode("ascii")), np.int64)


def _coordinates(polygon: Any, side: int) -> list[float]:
    if not isinstance(polygon, list) or not all(type(n) in (int, float) for n in polygon):
        raise CongealError("one of its polygons is not a list of numbers")
    if len(polygon) % 2:
        raise CongealError(f"one of its polygons has {len(polygon)} numbers, not pairs of x and y")
    # The rasteriser walks along edges pixel by pixel, hours for huge values; NaN fails here too.
    if not all(abs(n) <= 10 * side + 1000 for n in polygon):
        raise CongealError("one of its polygons lies far outside the image")
    return [float(n) for n in polygon]


def compress_runs(runs: Runs, height: int) -> dict[str, Any]:
    """Compress run lengths to COCO's RLE, as in its JSON files.

    Example:
        >>> compress_runs(np.array([1, 3, 4]), 2)
        {'size': [2, 4], 'counts': '134'}
    """
    from pycocotools import mask as coco_mask

    size = [height, int(runs.sum()) // max(height, 1)]
    packed = coco_mask.frPyObjects({"size": size, "counts": runs.tolist()}, *size)
    return {"size": size, "counts": packed["counts"].decode("ascii")}


def is_empty_rle(rle: Mapping[str, Any]) -> bool:
    """Whether a mask in COCO's compressed RLE is empty.

    Example:
        >>> (
        ...     is_empty_rle(compress_runs(np.array([6]), 2)),
        ...     is_empty_rle(compress_runs(np.array([5, 1]), 2)),
        ... )
        (True, False)
    """
    return not any(parse_counts(rle["counts"])[1::2])


def paint_runs(labels: LabelMap, runs: Runs, value: int) -> None:
    """Set the pixels of a mask to ``value`` in a label map `(H, W)`, in place.

    Example:
        >>> labels = np.zeros((2, 3), np.int64)
        >>> paint_runs(labels, np.array([1, 2, 3]), 7)
        >>> labels.tolist()
        [[0, 7, 0], [7, 0, 0]]
    """
    height = labels.shape[0]
    ends = np.cumsum(runs).tolist()
    for begin, end in list(pairwise([0, *ends]))[1::2]:
        positions = np.arange(begin, end)
        labels[positions % height, positions // height] = value
