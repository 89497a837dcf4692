"""Reading of the pixel size and the plane distance from the metadata of image files."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from congeal.data.tiff import opened_tiff

__all__ = ["in_micrometres", "read_pixel_size", "read_plane_distance"]

_MICROMETRES = {
    "nm": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "nanometer": 1e-3,
    "millimeter": 1e3,
    "inch": 25_400.0,
    "in": 25_400.0,
}
_TAG_UNITS = {2: 25_400.0, 3: 1e4}  # micrometres by ResolutionUnit (296): inch, centimetre
_DEFAULT_DPI = (72.0, 96.0)  # written by programs that do not know the resolution
_SQUARE_TOLERANCE = 0.01  # relative difference of the sides of a square pixel
_OME = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_XML_HEAD = 1_000_000  # characters of OME-XML searched


def read_pixel_size(path: str | Path) -> float | None:
    """Read the pixel size of a TIFF in micrometres, from OME, ImageJ or resolution tags.

    Resolutions of 72 and 96 dots per inch are ignored: programs write them as default.

    Returns:
        Side of a pixel in micrometres; None if the file has no pixel size, its pixels are not
        square (within one percent), or it cannot be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(
        ...     path,
        ...     np.zeros((4, 5), np.uint8),
        ...     resolution=(20000, 20000),
        ...     resolutionunit="CENTIMETER",
        ... )
        >>> read_pixel_size(path)
        0.5
    """
    try:
        with opened_tiff(Path(path)) as tiff:
            sides = _ome_sides(tiff) or _imagej_sides(tiff) or _tag_sides(tiff)
    # Not a TIFF, or damaged: reading the image raises a precise error.
    except Exception:
        return None
    if sides is None or not all(math.isfinite(side) and side > 0 for side in sides):
        return None
    width, height = sides
    square = abs(width - height) <= _SQUARE_TOLERANCE * max(width, height)
    return float(f"{width:.6g}") if square else None


def in_micrometres(unit: str) -> float:
    """Micrometres per unit of length, by name of the unit; 0 if unknown.

    Example:
        >>> in_micrometres("nanometer"), in_micrometres("second")
        (0.001, 0.0)
    """
    return _unit(unit) or 0.0


def read_plane_distance(path: str | Path) -> float | None:
    """Read the distance between the planes of a TIFF stack in micrometres, from OME or ImageJ.

    Returns:
        The distance; None if the file has none or cannot be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
        >>> tifffile.imwrite(path, np.zeros((3, 4, 5), np.uint8), imagej=True, metadata=metadata)
        >>> read_plane_distance(path)
        2.0
    """
    try:
        with opened_tiff(Path(path)) as tiff:
            distance = _ome_plane_distance(tiff) or _imagej_plane_distance(tiff)
    except Exception:  # as in read_pixel_size
        return None
    return float(f"{distance:.6g}") if distance and 0 < distance < math.inf else None


def _ome_plane_distance(tiff: Any) -> float | None:
    pixels = _ome_pixels(tiff)
    unit = _unit(pixels.get("PhysicalSizeZUnit", "um"))
    return float(pixels["PhysicalSizeZ"]) * unit if unit and "PhysicalSizeZ" in pixels else None


def _imagej_plane_distance(tiff: Any) -> float | None:
    metadata = (tiff.imagej_metadata or {}) if tiff.is_imagej else {}
    unit = _unit(str(metadata.get("unit", "")))
    return float(metadata["spacing"]) * unit if unit and "spacing" in metadata else None


def _ome_pixels(tiff: Any) -> dict[str, str]:
    """Attributes of the first Pixels element of the OME-XML."""
    tag = _OME.search(tiff.ome_metadata[:_XML_HEAD]) if tiff.is_ome else None
    return dict(re.findall(r'(\w+)="([^"]*)"', tag.group())) if tag else {}


def _ome_sides(tiff: Any) -> tuple[float, float] | None:
    pixels = _ome_pixels(tiff)
    if not {"PhysicalSizeX", "PhysicalSizeY"} <= pixels.keys():
        return None
    units = [_unit(pixels.get(f"PhysicalSize{axis}Unit", "um")) for axis in "XY"]
    if None in units:
        return None
    width, height = (
        float(pixels[f"PhysicalSize{axis}"]) * (unit or 0)
        for axis, unit in zip("XY", units, strict=True)
    )
    return width, height


def _imagej_sides(tiff: Any) -> tuple[float, float] | None:
    if not tiff.is_imagej:
        return None
    unit = _unit(str((tiff.imagej_metadata or {}).get("unit", "")))
    return None if unit is None else _sides(tiff, unit)


def _tag_sides(tiff: Any) -> tuple[float, float] | None:
    tags = tiff.pages.first.tags
    unit = _TAG_UNITS.get(int(tags.valueof(296, 2)))
    if unit is None or 282 not in tags or 283 not in tags:
        return None
    numerator, denominator = tags.valueof(282)
    if unit == _TAG_UNITS[2] and denominator and numerator / denominator in _DEFAULT_DPI:
        return None
    return _sides(tiff, unit)


def _sides(tiff: Any, unit: float) -> tuple[float, float] | None:
    """Sides from XResolution and YResolution (282, 283), which are pixels per unit as fractions."""
    (x, per_x), (y, per_y) = (tiff.pages.first.tags.valueof(tag) for tag in (282, 283))
    return (unit * per_x / x, unit * per_y / y) if x and y else None


def _unit(name: str) -> float | None:
    """Micrometres per unit; accepts both Unicode micro signs and ImageJ's escape sequence."""
    plain = name.strip().lower().replace("\\u00b5", "u")
    return _MICROMETRES.get(plain.replace("\N{MICRO SIGN}", "u").replace("\u03bc", "u"))
