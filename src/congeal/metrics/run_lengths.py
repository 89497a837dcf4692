"""Compressed COCO run-length codes of masks (a few hundred bytes per object)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from congeal.errors import CongealError

__all__ = [
    "Rle",
    "Size",
    "as_rle",
    "complement",
    "compress",
    "count_pixels",
    "encode",
    "encode_labels",
]

Integers = NDArray[np.int64]
Size = tuple[int, int]
Rle = dict[str, Any]


def as_rle(size: Size, counts: bytes) -> Rle:
    """Combine a code with its image size, as pycocotools expects it.

    Example:
        >>> as_rle((1, 1), b"01")
        {'size': [1, 1], 'counts': b'01'}
    """
    return {"size": list(size), "counts": counts}


def encode(mask: NDArray[Any]) -> bytes:
    """Encode the non-zero pixels of ``(H, W)``.

    Example:
        >>> encode(np.ones((1, 1)))
        b'01'
    """
    counts: bytes = coco_mask.encode(np.asfortranarray(mask != 0, np.uint8))["counts"]
    return counts


def compress(mask: Any, size: Size) -> bytes:
    """Encode a mask that is a list of polygons or a run-length code, compressed or not.

    Raises:
        CongealError: the code has another size.

    Example:
        >>> compress({"size": [1, 1], "counts": [0, 1]}, (1, 1))
        b'01'
    """
    height, width = size
    if isinstance(mask, list):
        parts = coco_mask.frPyObjects(mask, height, width) if mask else []
        return bytes(coco_mask.merge(parts)["counts"]) if parts else encode(np.zeros(size))
    if tuple(mask["size"]) != tuple(size):
        raise CongealError(f"expected masks of size {tuple(size)}, got {tuple(mask['size'])}")
    counts = mask["counts"]
    if isinstance(counts, list):
        return bytes(coco_mask.frPyObjects({**mask}, height, width)["counts"])
    return counts.encode("ascii") if isinstance(counts, str) else bytes(counts)


def count_pixels(codes: list[Rle]) -> Integers:
    """Count the pixels of each mask, ``(K,)``.

    Example:
        >>> count_pixels([as_rle((1, 1), b"01")])
        array([1])
    """
    # In chunks of 255, because pycocotools 2.0.11 with NumPy 2 overflows at 256 masks.
    parts = [coco_mask.area(codes[at : at + 255]) for at in range(0, len(codes), 255)]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def complement(size: Size, counts: bytes) -> Rle:
    """Encode the complement of a mask.

    Example:
        >>> complement((1, 1), b"01")
        {'size': [1, 1], 'counts': b'1'}
    """
    return as_rle(size, encode(coco_mask.decode(as_rle(size, counts)) == 0))


def encode_labels(labels: Integers) -> tuple[Integers, list[bytes]]:
    """Encode all objects of a label map ``(H, W)`` in one pass over its column-major runs.

    Returns:
        The labels above 0 that occur, ascending, ``(K,)``, and their codes.

    Example:
        >>> encode_labels(np.array([[5]]))
        (array([5]), [b'01'])
    """
    flat = labels.ravel(order="F")
    if not flat.size:
        return np.zeros(0, np.int64), []
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    order = order[values[order] > 0]
    ids, first = np.unique(values[order], return_index=True)
    return ids, [
        _from_runs(starts[runs], ends[runs], labels.shape)
        for runs in np.split(order, first[1:])
        if len(runs)
    ]


def _from_runs(starts: Integers, ends: Integers, shape: tuple[int, ...]) -> bytes:
    bounds = np.stack([starts, ends], 1).ravel()
    counts = np.diff(bounds, prepend=0).tolist()
    rest = shape[0] * shape[1] - int(ends[-1])
    runs = {"size": list(shape), "counts": [*counts, rest] if rest else counts}
    return bytes(coco_mask.frPyObjects(runs, *shape)["counts"])
