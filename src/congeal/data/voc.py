"""Reader of PASCAL VOC 2012: the images with instance and semantic segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from congeal.data.images import read_image
from congeal.data.pairs import Pair, check_sizes
from congeal.data.sample import Sample
from congeal.data.semantic import object_classes
from congeal.data.split import PARTS
from congeal.data.standard import StandardDataset, first_folder, read_list, read_void
from congeal.labels import relabel

__all__ = ["VOC_CLASSES", "VocDataset"]

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)


class VocDataset(StandardDataset):
    """Objects of 20 classes; object borders (255 in the files) are void.

    The class of an object is the most frequent class of its pixels. Splits are the lists in
    ``ImageSets/Segmentation``. The test images have no public labels: evaluate on ``"val"``.

    Args:
        root: the folder ``VOC2012``, or ``VOCdevkit`` or its parent.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: of the hash split; not used where the split lists exist.
        name: of the dataset; None: its path.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> VocDataset.class_names[15]
        'person'
    """

    layout: ClassVar[str] = (
        "PASCAL VOC (JPEGImages, SegmentationClass, SegmentationObject, ImageSets/Segmentation)"
    )
    protocol = "apr"
    other_protocols = ("miou",)
    class_names = VOC_CLASSES

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder ``VOC2012``, at or below ``path``."""
        needed = ("JPEGImages", "SegmentationObject", "ImageSets/Segmentation")
        return first_folder(path, ("", "VOC2012", "VOCdevkit/VOC2012"), needed)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The images of the split lists; test images only if their labels exist."""
        lists = home / "ImageSets" / "Segmentation"
        parts = {part: lists / f"{part}.txt" for part in PARTS}
        found = {part: _pairs(home, path) for part, path in parts.items() if path.is_file()}
        if not found and (lists / "trainval.txt").is_file():
            return {"all": _pairs(home, lists / "trainval.txt")}
        if "test" in found and not any(pair.mask.exists() for pair in found["test"]):
            del found["test"]
        return found

    def read(self, pair: Pair) -> Sample:
        """Read the image, its instances and its semantic map."""
        image = read_image(pair.image)
        labels = relabel(read_void(pair.mask))
        classes = pair.mask.parent.with_name("SegmentationClass") / pair.mask.name
        semantic = read_void(classes)
        check_sizes(image.shape[:2], pair.image, labels.shape, pair.mask)
        check_sizes(image.shape[:2], pair.image, semantic.shape, classes)
        return Sample(
            pair.name,
            image,
            labels,
            pair.image,
            semantic=semantic,
            classes=object_classes(labels, semantic),
        )


def _pairs(home: Path, split_list: Path) -> list[Pair]:
    return [
        Pair(name, home / f"JPEGImages/{name}.jpg", home / f"SegmentationObject/{name}.png")
        for name in (line.split()[0] for line in read_list(split_list))
    ]
