"""The size of a pixel that an image file tells."""

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
_OF_TAG = {2: 25_400.0, 3: 1e4}  # tag ResolutionUnit (296): inch and centimetre
_SCREENS = (72.0, 96.0)  # dots per inch that programs write when they know nothing
_ALIKE = 0.01  # share by which the sides of a pixel may differ
_OME = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_XML_HEAD = 1_000_000  # characters of OME-XML that are looked at


def read_pixel_size(path: str | Path) -> float | None:
    """Read the micrometres per pixel of a TIFF: OME, ImageJ, or the tags for resolution.

    Resolutions of 72 and 96 dots per inch are passed over: they are what programs write when they
    know nothing.

    Returns:
        The side of a pixel; None where the file tells none, its pixels are not square (by more
        than one percent), or it cannot be read.

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
            sides = _of_ome(tiff) or _of_imagej(tiff) or _of_tags(tiff)
    # Files that are no TIFF, and broken ones: reading the image tells what is wrong.
    except Exception:
        return None
    if sides is None or not all(math.isfinite(side) and side > 0 for side in sides):
        return None
    width, height = sides
    square = abs(width - height) <= _ALIKE * max(width, height)
    return float(f"{width:.6g}") if square else None


def in_micrometres(unit: str) -> float:
    """Micrometres of a unit of length by its name, 0 for one that is not known.

    Example:
        >>> in_micrometres("nanometer"), in_micrometres("second")
        (0.001, 0.0)
    """
    return _unit(unit) or 0.0


def read_plane_distance(path: str | Path) -> float | None:
    """Read the micrometres between the planes of a TIFF stack, as OME or ImageJ tell them.

    Returns:
        The distance; None where the file tells none, or it cannot be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> told = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
        >>> tifffile.imwrite(path, np.zeros((3, 4, 5), np.uint8), imagej=True, metadata=told)
        >>> read_plane_distance(path)
        2.0
    """
    try:
        with opened_tiff(Path(path)) as tiff:
            far = _depth_of_ome(tiff) or _depth_of_imagej(tiff)
    except Exception:  # as of read_pixel_size
        return None
    return float(f"{far:.6g}") if far and math.isfinite(far) and far > 0 else None


def _depth_of_ome(tiff: Any) -> float | None:
    told = _ome_pixels(tiff)
    unit = _unit(told.get("PhysicalSizeZUnit", "um"))
    return float(told["PhysicalSizeZ"]) * unit if unit and "PhysicalSizeZ" in told else None


def _depth_of_imagej(tiff: Any) -> float | None:
    told = (tiff.imagej_metadata or {}) if tiff.is_imagej else {}
    unit = _unit(str(told.get("unit", "")))
    return float(told["spacing"]) * unit if unit and "spacing" in told else None


def _ome_pixels(tiff: Any) -> dict[str, str]:
    """Attributes of the first image of OME-XML."""
    tag = _OME.search(tiff.ome_metadata[:_XML_HEAD]) if tiff.is_ome else None
    return dict(re.findall(r'(\w+)="([^"]*)"', tag.group())) if tag else {}


def _of_ome(tiff: Any) -> tuple[float, float] | None:
    told = _ome_pixels(tiff)
    if not {"PhysicalSizeX", "PhysicalSizeY"} <= told.keys():
        return None
    units = [_unit(told.get(f"PhysicalSize{axis}Unit", "um")) for axis in "XY"]
    if None in units:
        return None
    width, height = (
        float(told[f"PhysicalSize{axis}"]) * (unit or 0)
        for axis, unit in zip("XY", units, strict=True)
    )
    return width, height


def _of_imagej(tiff: Any) -> tuple[float, float] | None:
    if not tiff.is_imagej:
        return None
    unit = _unit(str((tiff.imagej_metadata or {}).get("unit", "")))
    return None if unit is None else _sides(tiff, unit)


def _of_tags(tiff: Any) -> tuple[float, float] | None:
    tags = tiff.pages.first.tags
    unit = _OF_TAG.get(int(tags.valueof(296, 2)))
    if unit is None or 282 not in tags or 283 not in tags:
        return None
    across, down = tags.valueof(282)
    if unit == _OF_TAG[2] and down and across / down in _SCREENS:
        return None
    return _sides(tiff, unit)


def _sides(tiff: Any, unit: float) -> tuple[float, float] | None:
    """Take XResolution and YResolution (282, 283): pixels per unit, as a fraction."""
    (x, per_x), (y, per_y) = (tiff.pages.first.tags.valueof(tag) for tag in (282, 283))
    return (unit * per_x / x, unit * per_y / y) if x and y else None


def _unit(name: str) -> float | None:
    """Micrometres of a unit of length; both signs for micro are known, and ImageJ's escape."""
    plain = name.strip().lower().replace("\\u00b5", "u")
    return _MICROMETRES.get(plain.replace("\N{MICRO SIGN}", "u").replace("\u03bc", "u"))
