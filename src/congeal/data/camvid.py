"""Reader of CamVid: driving scenes in 11 classes, with the classes and splits of SegNet."""

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
    """Semantic segmentation; there are no instances: each class of an image is one label.

    Class ids 0 to 10 of the files become 1 to 11, their void (11) becomes -1; no pixel is
    background.

    Args:
        root: SegNet's folder (``train``, ``trainannot``, ``val``, ...), or one with
            ``images/SPLIT``, ``labels/SPLIT`` and ``classes.csv``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        seed: of the hash split; not used where the dataset has a validation split.
        name: of the dataset; None: its path.

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
        """The folder of the dataset, in SegNet's or in the data pack's layout."""
        candidates = (path, path / "CamVid")
        return next((p for p in candidates if _is_segnet(p) or _is_pack(p)), None)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The images of each split list in its order, or else of each split folder."""
        return {part: _pairs(home, part) for part in PARTS if _images(home, part).is_dir()}

    def read(self, pair: Pair) -> Sample:
        """Read the image and its semantic map."""
        image, stored = read_image(pair.image), read_labels(pair.mask)
        check_sizes(image.shape[:2], pair.image, stored.shape, pair.mask)
        semantic = _to_class_ids(stored, pair.mask)
        labels, classes = class_regions(semantic)
        return Sample(pair.name, image, labels, pair.image, semantic=semantic, classes=classes)


def _is_segnet(path: Path) -> bool:
    return (path / "train").is_dir() and (path / "trainannot").is_dir()


def _is_pack(path: Path) -> bool:
    """Whether it is the data pack: classes.csv tells it from a user's images and labels."""
    table = path / "classes.csv"
    if not all((path / kind).is_dir() for kind in ("images", "labels")) or not table.is_file():
        return False
    head = table.read_text(encoding="utf-8", errors="replace")[:200]
    return head.startswith("id,name") and "Sky" in head


def _images(home: Path, part: str) -> Path:
    return home / part if _is_segnet(home) else home / "images" / part


def _pairs(home: Path, part: str) -> list[Pair]:
    images = _images(home, part)
    masks = home / f"{part}annot" if _is_segnet(home) else home / "labels" / part
    files = {path.stem: path for path in image_files(images)}
    names = list(files)
    if (home / f"{part}.txt").is_file():
        lines = read_list(home / f"{part}.txt")
        names = [PurePosixPath(line.split()[0]).name.removesuffix(".png") for line in lines]
    return [
        Pair(name, files.get(name, images / f"{name}.png"), masks / f"{name}.png") for name in names
    ]


def _to_class_ids(stored: LabelMap, path: Path) -> LabelMap:
    void = np.isin(stored, _VOID)
    highest = int(stored[~void].max(initial=0))
    if highest > 10:
        raise CongealError(f"expected class ids 0 to 10, or 11 for void, {path} has {highest}")
    return np.where(void, -1, stored + 1)
