"""The picture in a file as it is stored, before deciding what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from congeal.data.sample import Pixels

__all__ = ["Raster", "turn_upright"]


@dataclass(frozen=True, eq=False)
class Raster:
    """The pixels of a file as stored, turned upright.

    Attributes:
        pixels: `(H, W)` or `(H, W, C)`, alpha included, palette indices as they are.
        palette: `(n, 3)` uint8 or uint16 colours when the pixels are indices into them.
        lossy: whether the format changes pixel values (JPEG).
        inverted: whether 0 means white (a TIFF habit).
        alpha: channels that the file itself calls transparency.
    """

    pixels: Pixels
    palette: Pixels | None = None
    lossy: bool = False
    inverted: bool = False
    alpha: tuple[int, ...] = ()


def turn_upright(pixels: Pixels, orientation: Any) -> Pixels:
    """Turn and mirror pixels `(H, W)` or `(H, W, C)` as tag Orientation (274) says.

    TIFF and EXIF have it alike (TIFF 6.0, section 8). Values other than 1 to 8 say nothing.

    Example:
        >>> turn_upright(np.array([[1, 2, 3]]), 6).tolist()
        [[1], [2], [3]]
    """
    turned: dict[int, Pixels] = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: pixels[::-1].swapaxes(0, 1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: pixels[:, ::-1].swapaxes(0, 1),
    }
    known = orientation if isinstance(orientation, int) else 1
    return np.ascontiguousarray(turned.get(known, pixels))
