"""The image of a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

__all__ = ["Source", "needs_image"]


@dataclass(frozen=True)
class Source:
    """Name of an image, and a function that returns its pixels from memory or from a file.

    Args:
        name: file name of the image.
        pixels: returns `(H, W, C)`; must be picklable for the result to be picklable.
        pixel_size: micrometres per pixel; None if unknown.

    Example:
        >>> import numpy as np
        >>> Source("cell.png", lambda: np.zeros((2, 3, 1))).pixels().shape
        (2, 3, 1)
    """

    name: str
    pixels: Callable[[], NDArray[Any]]
    pixel_size: float | None = None


def needs_image(path: str | Path) -> bool:
    """Whether the format of a file name uses the image: an overlay, or a table.

    Example:
        >>> needs_image("cell_overlay.png"), needs_image("cell.png")
        (True, False)
    """
    name = Path(path).name.lower()
    return name.endswith(("_overlay.png", "_overlay.jpg", ".csv"))
