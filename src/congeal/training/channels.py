"""Image channels of a training: those of the setting ``input.channels``, or all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from congeal.data.images import Channels
from congeal.data.sample import Dataset
from congeal.errors import CongealError, quoted

__all__ = ["channels_of", "channels_wanted"]

_GRAY_OR_RGB = (1, 3)  # channel counts that every model takes


def channels_wanted(settings: Mapping[str, Any]) -> Channels:
    """Read the setting ``input.channels``, given by path or by section.

    Args:
        settings: settings as passed to :func:`congeal.train`.

    Returns:
        Channel indices in order, or ``"all"`` if the setting is missing.

    Raises:
        CongealError: the value is not a list of whole numbers >= 0.

    Example:
        >>> channels_wanted({"input": {"channels": [2, 0]}}), channels_wanted({"margin": 0.4})
        ((2, 0), 'all')
    """
    section = settings.get("input")
    nested = section.get("channels") if isinstance(section, Mapping) else None
    found = settings.get("input.channels", nested)
    if found is None:
        return "all"
    found = [found] if isinstance(found, int) else found
    valid = isinstance(found, list | tuple) and all(
        isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0
        for channel in found
    )
    if not valid or not found:
        raise CongealError(f"channels: expected whole numbers such as 0,2, got {quoted(found)}")
    return tuple(found)


def channels_of(dataset: Dataset) -> tuple[int, ...] | None:
    """Channels of the files that a dataset reads, to be stored in the model.

    Args:
        dataset: any dataset; its first image may be read.

    Returns:
        Channel indices in order; None for gray or RGB images.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> channels_of(DrawnDataset("sticks", count=1)) is None
        True
    """
    chosen = getattr(dataset, "channels", None)
    if isinstance(chosen, list | tuple):
        return tuple(int(channel) for channel in chosen)
    count = dataset[0].image.shape[2] if len(dataset) else 1
    return None if count in _GRAY_OR_RGB else tuple(range(count))
