"""Reader of COCO in its original folders: ``annotations/instances_val2017.json``, ``val2017``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from congeal.data.coco import CocoDataset, CocoImage, load_categories, load_images, parse_coco
from congeal.data.split import PARTS
from congeal.errors import CongealError, unknown

__all__ = ["Coco2017Dataset", "official_files"]

_FILE = re.compile(r"instances_(train|val|test)(\d{4})?\.json")


class Coco2017Dataset(CocoDataset):
    """Objects of 80 classes in everyday photographs, or another dataset in the same folders.

    Only the annotation file of the requested split is read, because that of the training images
    takes gigabytes of memory. ``labels`` holds visible parts; the protocol uses ``masks``, which
    may overlap and include crowds.

    Args:
        path: the folder with ``annotations`` and the image folders.
        split: ``"train"``, ``"val"`` or ``"all"``; the test images have no public annotations.
        seed: of the hash split; not used where both annotation files exist.
        name: of the dataset; None: its path.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> Coco2017Dataset.protocol
        'coco'
    """

    protocol = "coco"
    other_protocols = ("apr", "miou", "matching")

    def find_files(self, path: Path) -> dict[str, Path]:
        """The annotation file of each split."""
        if not path.exists():
            raise CongealError(f"no such folder: {path}")
        files = official_files(path)
        if not files:
            raise CongealError(
                f"expected COCO files such as annotations/instances_train2017.json in {path}, "
                "found none"
            )
        return files

    def load(
        self, files: Mapping[str, Path], split: str
    ) -> tuple[dict[str, list[CocoImage]], dict[int, str]]:
        """Read only the required files; categories are the same in all."""
        if split not in (*PARTS, "all"):
            raise unknown("split", split, (*PARTS, "all"))
        # Without a validation file, the training images are split by hash.
        required = {split} if split in files and "val" in files else set(files)
        parts: dict[str, list[CocoImage]] = {part: [] for part in files}
        categories: dict[int, str] = {}
        for part in required:
            content = parse_coco(files[part])
            parts[part] = load_images(files[part], content)
            categories |= load_categories(files[part], content)
        return parts, categories


def official_files(path: Path) -> dict[str, Path]:
    """Find the annotation file of each split in COCO's folders; of several years the latest.

    Example:
        >>> official_files(Path("nowhere"))
        {}
    """
    folder = path / "annotations"
    if not folder.is_dir():
        return {}
    named = ((_FILE.fullmatch(file.name), file) for file in folder.iterdir())
    found = sorted((name[2] or "", name[1], file) for name, file in named if name)
    years = {part: file for _, part, file in found}  # later years replace earlier ones
    return {part: years[part] for part in PARTS if part in years}
