"""Datasets of images with annotations: folders, COCO files, published and synthetic datasets.

Names are imported lazily, so that reading images does not import PyTorch.

Example:
    >>> from congeal.data import open_dataset
    >>> open_dataset("discs", "val")
    <discs (val): 32 images>
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from congeal.data.ade20k import Ade20kDataset
    from congeal.data.arrays import ArrayDataset
    from congeal.data.augment import AUGMENTATIONS, build_augmentation
    from congeal.data.batch import Batch
    from congeal.data.bsds500 import Bsds500Dataset
    from congeal.data.camvid import CamVidDataset
    from congeal.data.catalogue import DATASETS, DatasetInfo
    from congeal.data.check import check_dataset, quick_problems
    from congeal.data.cityscapes import CityscapesDataset
    from congeal.data.classes import check_classes
    from congeal.data.coco import CocoDataset
    from congeal.data.coco2017 import Coco2017Dataset
    from congeal.data.cvppp import CvpppDataset
    from congeal.data.davis import DavisDataset
    from congeal.data.drawn import DrawnDataset
    from congeal.data.dsb2018 import Dsb2018Dataset
    from congeal.data.folder import FolderDataset
    from congeal.data.images import expand_images, read_image, read_labels
    from congeal.data.intensity import scale_intensity
    from congeal.data.packs import PackDataset
    from congeal.data.registry import dataset_splits, held_out_split, open_dataset
    from congeal.data.sample import Dataset, ObjectMask, Sample, Subset
    from congeal.data.sbd import SbdDataset
    from congeal.data.split import stable_split
    from congeal.data.voc import VocDataset

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "Ade20kDataset",
    "ArrayDataset",
    "Batch",
    "Bsds500Dataset",
    "CamVidDataset",
    "CityscapesDataset",
    "Coco2017Dataset",
    "CocoDataset",
    "CvpppDataset",
    "Dataset",
    "DatasetInfo",
    "DavisDataset",
    "DrawnDataset",
    "Dsb2018Dataset",
    "FolderDataset",
    "ObjectMask",
    "PackDataset",
    "Sample",
    "SbdDataset",
    "Subset",
    "VocDataset",
    "build_augmentation",
    "check_classes",
    "check_dataset",
    "dataset_splits",
    "expand_images",
    "held_out_split",
    "open_dataset",
    "quick_problems",
    "read_image",
    "read_labels",
    "scale_intensity",
    "stable_split",
]

_HOMES = {
    "AUGMENTATIONS": "augment",
    "DATASETS": "catalogue",
    "Ade20kDataset": "ade20k",
    "ArrayDataset": "arrays",
    "Batch": "batch",
    "Bsds500Dataset": "bsds500",
    "CamVidDataset": "camvid",
    "CityscapesDataset": "cityscapes",
    "Coco2017Dataset": "coco2017",
    "CocoDataset": "coco",
    "CvpppDataset": "cvppp",
    "Dataset": "sample",
    "DatasetInfo": "catalogue",
    "DavisDataset": "davis",
    "DrawnDataset": "drawn",
    "Dsb2018Dataset": "dsb2018",
    "FolderDataset": "folder",
    "ObjectMask": "sample",
    "PackDataset": "packs",
    "Sample": "sample",
    "SbdDataset": "sbd",
    "Subset": "sample",
    "VocDataset": "voc",
    "build_augmentation": "augment",
    "check_classes": "classes",
    "check_dataset": "check",
    "dataset_splits": "registry",
    "expand_images": "images",
    "held_out_split": "registry",
    "open_dataset": "registry",
    "quick_problems": "check",
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
