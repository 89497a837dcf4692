"""Reading images with their objects: folders, COCO files, known packs, and drawn scenes.

Names are looked up when first used, so that reading images never waits for PyTorch.

Example:
    >>> from congeal.data import open_dataset
    >>> open_dataset("discs", "val")
    <discs (val): 32 images>
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from congeal.data.check import check_dataset
    from congeal.data.coco import CocoDataset
    from congeal.data.drawn import DrawnDataset
    from congeal.data.folder import FolderDataset
    from congeal.data.images import expand_images, read_image, read_labels
    from congeal.data.intensity import scale_intensity
    from congeal.data.packs import PackDataset
    from congeal.data.registry import DATASETS, DatasetInfo, held_out_split, open_dataset
    from congeal.data.sample import Dataset, Sample, Subset
    from congeal.data.split import stable_split

__all__ = [
    "DATASETS",
    "CocoDataset",
    "Dataset",
    "DatasetInfo",
    "DrawnDataset",
    "FolderDataset",
    "PackDataset",
    "Sample",
    "Subset",
    "check_dataset",
    "expand_images",
    "held_out_split",
    "open_dataset",
    "read_image",
    "read_labels",
    "scale_intensity",
    "stable_split",
]

_HOMES = {
    "DATASETS": "registry",
    "CocoDataset": "coco",
    "Dataset": "sample",
    "DatasetInfo": "registry",
    "DrawnDataset": "drawn",
    "FolderDataset": "folder",
    "PackDataset": "packs",
    "Sample": "sample",
    "Subset": "sample",
    "check_dataset": "check",
    "expand_images": "images",
    "held_out_split": "registry",
    "open_dataset": "registry",
    "read_image": "images",
    "read_labels": "images",
    "scale_intensity": "intensity",
    "stable_split": "split",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'congeal.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"congeal.data.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
