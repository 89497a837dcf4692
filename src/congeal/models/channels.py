"""The channels of images that a model was trained on, and data opened with them."""

from __future__ import annotations

from pathlib import Path

from congeal.data.registry import has_fixed_channels, open_dataset, split_channels
from congeal.data.sample import Dataset
from congeal.models.config import read_config
from congeal.models.shipped import locate

__all__ = ["open_for", "stored_channels"]


def stored_channels(model: object) -> tuple[int, ...] | None:
    """Channels of the images that a model is shown, in this order; None: gray or RGB.

    Args:
        model: a model, its folder, or the name of a shipped one.

    Raises:
        CongealError: there is no such model.

    Example:
        >>> stored_channels("nuclei") is None
        True
    """
    if not isinstance(model, str | Path):
        found = getattr(model, "channels", None)
    else:
        section = read_config(locate(model)).settings.get("input")
        found = section.get("channels") if isinstance(section, dict) else None
    whole = isinstance(found, list | tuple) and all(isinstance(one, int) for one in found)
    return tuple(found) if whole and found else None


def open_for(model: object, data: str | Path, split: str) -> Dataset:
    """Open data with the channels that a model was trained on, unless the data names others.

    Args:
        model: a model, its folder, or the name of a shipped one.
        data: as for :func:`congeal.data.open_dataset`.
        split: of the data.

    Example:
        >>> open_for("nuclei", "discs", "val")
        <discs (val): 32 images>
    """
    named = split_channels(data)[1] is not None or has_fixed_channels(data)
    return open_dataset(data, split, channels=None if named else stored_channels(model))
