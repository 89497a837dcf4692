"""The image a result was made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

__all__ = ["Source", "needs_image"]


@dataclass(frozen=True)
class Source:
    """Name of an image, and how to get its pixels: held in memory, or read when wanted.

    Args:
        name: file name of the image.
        pixels: gives `(H, W, C)`; a function that can be pickled lets the result be so.
        pixel_size: micrometres per pixel; None where it is not known.

    Example:
        >>> import numpy as np
        >>> Source("cell.png", lambda: np.zeros((2, 3, 1))).pixels().shape
        (2, 3, 1)
    """

    name: str
    pixels: Callable[[], NDArray[Any]]
    pixel_size: float | None = None


def needs_image(path: str | Path) -> bool:
    """Whether a file of that name tells more with the image: a drawing, or a table.

    Example:
        >>> needs_image("cell_overlay.png"), needs_image("cell.png")
        (True, False)
    """
    name = Path(path).name.lower()
    return name.endswith(("_overlay.png", "_overlay.jpg", ".csv"))
