"""The size of a pixel that a model was trained at, and by how much an image has to be resized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from congeal.errors import CongealError
from congeal.models.config import read_config
from congeal.models.shipped import locate

__all__ = ["UNITS_ONLY", "resize_factor", "resize_note", "trained_pixel_size"]

UNITS_ONLY = (
    "--pixel-size (pixel_size=) gives units only: the model stores no pixel size of its training, "
    "so images are not resized to it"
)
"""What is said where a pixel size is given and the model stores none."""

NEGLIGIBLE = 0.02  # share by which sizes may differ and still count as equal
MOST = 16.0  # factor beyond which one of the sizes is more likely wrong than right


def trained_pixel_size(model: object) -> float | None:
    """Micrometres per pixel of the images that a model was trained on; None where not known.

    Args:
        model: a model, its folder, or the name of a shipped one.

    Raises:
        CongealError: there is no such model.

    Example:
        >>> trained_pixel_size("nuclei") is None
        True
    """
    found: Any
    if not isinstance(model, str | Path):
        found = getattr(getattr(getattr(model, "config", None), "input", None), "pixel_size", None)
    else:
        section = read_config(locate(model)).settings.get("input")
        found = section.get("pixel_size") if isinstance(section, dict) else None
    return float(found) if isinstance(found, int | float) and found > 0 else None


def resize_factor(model: object, pixel_size: float | None) -> float:
    """By how much to resize an image for a model to see objects as large as in training.

    Args:
        model: as for :func:`trained_pixel_size`.
        pixel_size: micrometres per pixel of the image; None where it is not known.

    Returns:
        ``pixel_size`` over that of the training; 1 where one of them is not known, or they differ
        by at most 2 %.

    Raises:
        CongealError: the sizes differ by a factor of more than 16.

    Example:
        >>> import congeal
        >>> resize_factor(congeal.RPE(pixel_size=0.5), 0.25)
        0.5
    """
    trained = trained_pixel_size(model)
    if trained is None or pixel_size is None:
        return 1.0
    factor = pixel_size / trained
    if not 1 / MOST <= factor <= MOST:
        raise CongealError(
            f"expected a pixel size within {MOST:g} times that of the model ({trained:g} "
            f"micrometres), got {pixel_size:g}: give the right one with --pixel-size (pixel_size= "
            "in Python)"
        )
    return factor if abs(factor - 1) > NEGLIGIBLE else 1.0


def resize_note(factor: float, trained: float | None, given: float | None) -> str:
    """Say that an image was resized, or that a size was given in vain; mostly nothing.

    Args:
        factor: of :func:`resize_factor`.
        trained: of :func:`trained_pixel_size`.
        given: micrometres per pixel that a user gave.

    Example:
        >>> resize_note(1.0, 0.5, None), resize_note(1.0, None, 0.5) == UNITS_ONLY
        ('', True)
    """
    if trained is None:
        return "" if given is None else UNITS_ONLY
    if factor == 1:
        return ""
    return f"resized by {factor:.3g} to the pixel size of the training, {trained:g} micrometres"
