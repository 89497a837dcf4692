"""How large a pixel is, and the unit in which a table tells lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass

from congeal.errors import CongealError

__all__ = ["UNITS", "Scale"]

UNITS = ("px", "um")
"""Units of lengths: pixels, or micrometres."""


@dataclass(frozen=True)
class Scale:
    """The side of a pixel, and the unit to measure in.

    Args:
        pixel_size: micrometres per pixel; None where it is not known.
        units: ``"px"`` or ``"um"``.

    Raises:
        CongealError: there is no such unit, the size is not positive, or micrometres are asked
            for without it.

    Example:
        >>> Scale(0.5, "um").length, Scale(0.5).length
        (0.5, 1.0)
    """

    pixel_size: float | None = None
    units: str = "px"

    def __post_init__(self) -> None:
        if self.units not in UNITS:
            raise CongealError(f"expected units {' or '.join(UNITS)}, got {self.units!r:.80}")
        size = self.pixel_size
        if size is not None and not (math.isfinite(size) and size > 0):
            raise CongealError(f"expected a pixel size above 0 micrometres, got {size}")
        if self.units == "um" and size is None:
            raise CongealError(
                "expected the size of a pixel for units um, the file tells none: give it with "
                "--pixel-size (pixel_size= in Python)"
            )

    @property
    def length(self) -> float:
        """What lengths in pixels are multiplied by."""
        return 1.0 if self.units == "px" or self.pixel_size is None else self.pixel_size
