"""PASCAL VOC 2012, the images with segmented objects."""

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
    """Objects of 20 classes; the border of each, 255 in the files, is void.

    An object has the class of most of its pixels. The lists of ``ImageSets/Segmentation`` are
    the splits; the test images have no public labels, so ``"val"`` is what one tests on.

    Args:
        root: the folder ``VOC2012``, or ``VOCdevkit`` or what holds it.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: not used where the lists are there.
        name: what to call the dataset; its path when None.

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
        """The folder with the labels: ``path`` or ``VOC2012`` below it."""
        needed = ("JPEGImages", "SegmentationObject", "ImageSets/Segmentation")
        return first_folder(path, ("", "VOC2012", "VOCdevkit/VOC2012"), needed)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """What the lists name; those of the test images only when their labels are here."""
        lists = home / "ImageSets" / "Segmentation"
        parts = {part: lists / f"{part}.txt" for part in PARTS}
        found = {part: _pairs(home, path) for part, path in parts.items() if path.is_file()}
        if not found and (lists / "trainval.txt").is_file():
            return {"all": _pairs(home, lists / "trainval.txt")}
        if "test" in found and not any(pair.mask.exists() for pair in found["test"]):
            del found["test"]
        return found

    def read(self, pair: Pair) -> Sample:
        """Read the image, its objects and its classes."""
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


def _pairs(home: Path, names: Path) -> list[Pair]:
    return [
        Pair(name, home / f"JPEGImages/{name}.jpg", home / f"SegmentationObject/{name}.png")
        for name in (line.split()[0] for line in read_list(names))
    ]
