"""Opening the training and validation images of a training."""

from __future__ import annotations

from pathlib import Path

from congeal.data.images import Channels
from congeal.data.registry import open_dataset, split_channels
from congeal.data.sample import Dataset
from congeal.data.unlabelled import UnlabelledDataset, find_images
from congeal.errors import CongealError
from congeal.training.channels import channels_of

__all__ = ["Data", "open_data"]

Data = str | Path | Dataset


def open_data(
    data: Data, val: Data | None, channels: Channels = "all"
) -> tuple[Dataset, Dataset | None]:
    """Open training and validation images.

    Args:
        data: training data, as for :func:`train`.
        val: validation data; None: the validation split of ``data``.
        channels: image channels to read, unless the name of the data has them.

    Returns:
        Training images, and validation images or None.

    Raises:
        CongealError: the data cannot be opened or has no training image.
    """
    validation = val if isinstance(val, Dataset) else None
    training = data if isinstance(data, Dataset) else _open_training(data, channels)
    if training.unlabelled_reason:
        if val is not None:
            raise CongealError(training.unlabelled_reason)
    elif isinstance(val, str | Path):
        validation = _open(val, "all", channels_of(training) or channels)
    elif val is None and not isinstance(data, Dataset):
        validation = _open(data, "val", channels)
    if not len(training):
        raise CongealError(f"expected training images in {data}, found none")
    return training, validation


def _open(data: str | Path, split: str, channels: Channels) -> Dataset:
    return open_dataset(data, split, channels=split_channels(data)[1] or channels)


def _open_training(data: str | Path, channels: Channels) -> Dataset:
    """Open the training images; a folder of images without masks is allowed here."""
    try:
        return _open(data, "train", channels)
    except CongealError as error:
        if not find_images(Path(data)):
            raise
        return UnlabelledDataset(data, str(error))
