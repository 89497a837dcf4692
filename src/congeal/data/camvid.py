"""CamVid: driving scenes in 11 classes, in the division that SegNet introduced."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from congeal.data.images import image_files, read_image, read_labels
from congeal.data.pairs import Pair, check_sizes
from congeal.data.sample import LabelMap, Sample
from congeal.data.semantic import class_regions
from congeal.data.split import PARTS
from congeal.data.standard import StandardDataset, read_list
from congeal.errors import CongealError

__all__ = ["CamVidDataset"]

_VOID = (11, 255)


class CamVidDataset(StandardDataset):
    """Classes of pixels; there are no instances, so each class in an image is one object.

    The files number the classes from 0 and void 11; here they are 1 to 11, and no pixel is
    background.

    Args:
        root: SegNet's folder (``train``, ``trainannot``, ``val``, ...), or one with
            ``images/SPLIT``, ``labels/SPLIT`` and ``classes.csv``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        seed: not used where the splits are there.
        name: what to call the dataset; its path when None.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> CamVidDataset.class_names[9], CamVidDataset.class_ids[9]
        ('car', 8)
    """

    layout: ClassVar[str] = "CamVid (train and trainannot, and so on for val and test)"
    protocol = "miou"
    class_names = (
        *("background", "sky", "building", "pole", "road", "pavement", "tree"),
        *("sign symbol", "fence", "car", "pedestrian", "bicyclist"),
    )
    class_ids = (11, *range(11))
    has_background = False

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder with the splits."""
        places = (path, path / "CamVid")
        return next((place for place in places if _segnet(place) or _pack(place)), None)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """What the lists name, in their order, or else the images of each folder."""
        return {part: _pairs(home, part) for part in PARTS if _images(home, part).is_dir()}

    def read(self, pair: Pair) -> Sample:
        """Read the image and its classes."""
        image, stored = read_image(pair.image), read_labels(pair.mask)
        check_sizes(image.shape[:2], pair.image, stored.shape, pair.mask)
        semantic = _shifted(stored, pair.mask)
        labels, classes = class_regions(semantic)
        return Sample(pair.name, image, labels, pair.image, semantic=semantic, classes=classes)


def _segnet(path: Path) -> bool:
    return (path / "train").is_dir() and (path / "trainannot").is_dir()


def _pack(path: Path) -> bool:
    """A user's folder has images and labels too; the names of the classes tell them apart."""
    names = path / "classes.csv"
    if not all((path / kind).is_dir() for kind in ("images", "labels")) or not names.is_file():
        return False
    head = names.read_text(encoding="utf-8", errors="replace")[:200]
    return head.startswith("id,name") and "Sky" in head


def _images(home: Path, part: str) -> Path:
    return home / part if _segnet(home) else home / "images" / part


def _pairs(home: Path, part: str) -> list[Pair]:
    images = _images(home, part)
    masks = home / f"{part}annot" if _segnet(home) else home / "labels" / part
    files = {path.stem: path for path in image_files(images)}
    names = list(files)
    if (home / f"{part}.txt").is_file():
        lines = read_list(home / f"{part}.txt")
        names = [PurePosixPath(line.split()[0]).name.removesuffix(".png") for line in lines]
    return [
        Pair(name, files.get(name, images / f"{name}.png"), masks / f"{name}.png") for name in names
    ]


def _shifted(stored: LabelMap, path: Path) -> LabelMap:
    void = np.isin(stored, _VOID)
    highest = int(stored[~void].max(initial=0))
    if highest > 10:
        raise CongealError(f"expected classes 0 to 10 and 11 for void, {path} has {highest}")
    return np.where(void, -1, stored + 1)
