"""The channels that a training takes of the images: those chosen, or all as given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from congeal.data.images import Channels
from congeal.data.sample import Dataset
from congeal.errors import CongealError, quoted

__all__ = ["channels_of", "channels_wanted"]

_USUAL = (1, 3)  # gray and RGB, which every model takes


def channels_wanted(settings: Mapping[str, Any]) -> Channels:
    """Find the setting ``input.channels``, by path or section; all channels where it is left out.

    Raises:
        CongealError: it is no list of whole numbers from 0 up.

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
    whole = isinstance(found, list | tuple) and all(
        isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in found
    )
    if not whole or not found:
        raise CongealError(f"channels: expected whole numbers such as 0,2, got {quoted(found)}")
    return tuple(found)


def channels_of(dataset: Dataset) -> tuple[int, ...] | None:
    """Channels that a dataset takes of its files, for the model to keep; None: gray or RGB.

    Example:
        >>> from congeal.data.drawn import DrawnDataset
        >>> channels_of(DrawnDataset("sticks", count=1)) is None
        True
    """
    chosen = getattr(dataset, "channels", None)
    if isinstance(chosen, list | tuple):
        return tuple(int(channel) for channel in chosen)
    count = dataset[0].image.shape[2] if len(dataset) else 1
    return None if count in _USUAL else tuple(range(count))
