"""Pixel size, and the unit of lengths in tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from congeal.errors import CongealError, quoted

__all__ = ["UNITS", "Scale"]

UNITS = ("px", "um")
"""Units of lengths: pixels, or micrometres."""


@dataclass(frozen=True)
class Scale:
    """Pixel size and unit of measurements.

    Args:
        pixel_size: micrometres per pixel; None if unknown.
        units: ``"px"`` or ``"um"``.

    Raises:
        CongealError: the unit is unknown, the size is not positive, or it is missing for
            micrometres.

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
        if not isinstance(size, Real | None):
            raise CongealError(f"expected micrometres per pixel, got {quoted(size)}")
        if size is not None and not (math.isfinite(size) and size > 0):
            raise CongealError(f"expected a pixel size above 0 micrometres, got {size}")
        if self.units == "um" and size is None:
            raise CongealError(
                "expected a pixel size for units um, the file has none: give it with "
                "--pixel-size (pixel_size= in Python)"
            )

    @property
    def length(self) -> float:
        """Factor from pixels to the unit of length."""
        return 1.0 if self.units == "px" or self.pixel_size is None else self.pixel_size
