"""Run lengths of masks, COCO's way: column by column, starting with what is outside."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.sample import LabelMap
from congeal.errors import CongealError, quoted

__all__ = ["compress_runs", "is_empty", "paint_runs", "parse_counts", "polygon_runs", "rle_runs"]

Runs = NDArray[np.int64]


def parse_counts(text: str) -> list[int]:
    """Decode COCO's compressed run lengths (the string form of ``counts``).

    Every number is a chain of characters, 5 bits in each, low bits first; bit 6 says that more
    follow and the highest bit of the last is the sign. From the fourth number on, it is the
    difference to the number two places before.

    Raises:
        CongealError: the text ends within a number or holds a foreign character.

    Example:
        >>> parse_counts("134")
        [1, 3, 4]
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise CongealError(
                f"the run lengths hold {quoted(character)}, which does not belong there"
            )
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        value -= (1 << shift) if code & 16 else 0
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    if shift:
        raise CongealError("the run lengths are cut off")
    return numbers


def rle_runs(segmentation: dict[str, Any], height: int, width: int) -> Runs:
    """Check a run-length mask, compressed or not, and give its runs.

    Raises:
        CongealError: the size is another, or the runs do not fill the image exactly.

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
        raise CongealError("its run lengths are not whole numbers of 0 and up")
    covered = sum(counts)
    if covered != height * width:
        told = quoted(covered)
        raise CongealError(f"its runs cover {told} pixels, the image has {height * width}")
    return np.array(counts, np.int64)


def polygon_runs(polygons: list[Any], height: int, width: int) -> Runs:
    """Fill polygons ``[x0, y0, x1, y1, ...]`` and join them; those under three points are empty.

    Raises:
        CongealError: a polygon is no list of coordinate pairs, or lies far outside the image.

    Example:
        >>> polygon_runs([[0, 0, 2, 0, 2, 2, 0, 2]], 2, 3).tolist()
        [0, 4, 2]
    """
    from pycocotools import mask as coco_mask

    filled = [_coordinates(p, max(height, width)) for p in polygons]
    solid = [points for points in filled if len(points) >= 6]
    if not solid:
        return np.array([height * width], np.int64)
    joined = coco_mask.merge(coco_mask.frPyObjects(solid, height, width))
    return np.array(parse_counts(joined["counts"].decode("ascii")), np.int64)


def _coordinates(polygon: Any, side: int) -> list[float]:
    if not isinstance(polygon, list) or not all(type(n) in (int, float) for n in polygon):
        raise CongealError("a polygon of it is not a list of numbers")
    if len(polygon) % 2:
        raise CongealError(f"a polygon of it has {len(polygon)} numbers, not pairs of x and y")
    # The rasteriser walks along every edge, and would walk for hours; NaN fails here too.
    if not all(abs(n) <= 10 * side + 1000 for n in polygon):
        raise CongealError("a polygon of it lies far outside the image")
    return [float(n) for n in polygon]


def compress_runs(runs: Runs, height: int) -> dict[str, Any]:
    """Give run lengths in COCO's compressed form, as its tools and JSON files hold them.

    Example:
        >>> compress_runs(np.array([1, 3, 4]), 2)
        {'size': [2, 4], 'counts': '134'}
    """
    from pycocotools import mask as coco_mask

    size = [height, int(runs.sum()) // max(height, 1)]
    packed = coco_mask.frPyObjects({"size": size, "counts": runs.tolist()}, *size)
    return {"size": size, "counts": packed["counts"].decode("ascii")}


def is_empty(rle: Mapping[str, Any]) -> bool:
    """Whether a mask in COCO's compressed form has no pixel.

    Example:
        >>> is_empty(compress_runs(np.array([6]), 2)), is_empty(compress_runs(np.array([5, 1]), 2))
        (True, False)
    """
    return not any(parse_counts(rle["counts"])[1::2])


def paint_runs(labels: LabelMap, runs: Runs, value: int) -> None:
    """Write ``value`` into a label map `(H, W)` wherever a mask is, in place.

    Example:
        >>> labels = np.zeros((2, 3), np.int64)
        >>> paint_runs(labels, np.array([1, 2, 3]), 7)
        >>> labels.tolist()
        [[0, 7, 0], [7, 0, 0]]
    """
    height = labels.shape[0]
    ends = np.cumsum(runs).tolist()
    for begin, end in list(pairwise([0, *ends]))[1::2]:
        places = np.arange(begin, end)
        labels[places % height, places // height] = value
