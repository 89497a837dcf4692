"""The decoded content of an image file, not yet interpreted as image or labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from congeal.data.sample import Pixels

__all__ = ["Raster", "apply_orientation"]


@dataclass(frozen=True, eq=False)
class Raster:
    """Pixel values of a file as stored, with the orientation tag applied.

    Attributes:
        pixels: `(H, W)` or `(H, W, C)`, alpha included, palettes not resolved.
        palette: `(n, 3)` uint8 or uint16 colours if the pixels are palette indices.
        lossy: whether the format changes values (JPEG).
        inverted: whether 0 means white (TIFF: WhiteIsZero).
        alpha: indices of channels that the file marks as alpha.
    """

    pixels: Pixels
    palette: Pixels | None = None
    lossy: bool = False
    inverted: bool = False
    alpha: tuple[int, ...] = ()


def apply_orientation(pixels: Pixels, orientation: Any) -> Pixels:
    """Rotate and flip pixels `(H, W)` or `(H, W, C)` according to tag Orientation (274).

    The tag is the same in TIFF and EXIF (TIFF 6.0, section 8). Other values are ignored.

    Example:
        >>> apply_orientation(np.array([[1, 2, 3]]), 6).tolist()
        [[1], [2], [3]]
    """
    oriented: dict[int, Pixels] = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: pixels[::-1].swapaxes(0, 1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: pixels[:, ::-1].swapaxes(0, 1),
    }
    tag = orientation if isinstance(orientation, int) else 1
    return np.ascontiguousarray(oriented.get(tag, pixels))
