"""The image channels that a model was trained on, and data opened with these channels."""

from __future__ import annotations

from pathlib import Path

from congeal.data.registry import has_own_channels, open_dataset, split_channels
from congeal.data.sample import Dataset
from congeal.models.config import read_config
from congeal.models.shipped import locate

__all__ = ["open_for", "stored_channels"]


def stored_channels(model: object) -> tuple[int, ...] | None:
    """Image channels that a model was trained on, in this order; None: gray or RGB.

    Args:
        model: a model, a model folder, or the name of a shipped model.

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
    valid = isinstance(found, list | tuple) and all(isinstance(item, int) for item in found)
    return tuple(found) if valid and found else None


def open_for(model: object, data: str | Path, split: str) -> Dataset:
    """Open a dataset with the channels that a model was trained on, unless its name has others.

    Args:
        model: a model, a model folder, or the name of a shipped model.
        data: as for :func:`congeal.data.open_dataset`.
        split: split of the data, such as ``"val"``.

    Raises:
        CongealError: the model or the data cannot be opened.

    Example:
        >>> open_for("nuclei", "discs", "val")
        <discs (val): 32 images>
    """
    named = split_channels(data)[1] is not None or has_own_channels(data)
    return open_dataset(data, split, channels=None if named else stored_channels(model))
