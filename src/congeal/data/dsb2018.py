"""Reader of Data Science Bowl 2018, stage 1: cell nuclei with one binary mask each."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import ClassVar

from congeal.data.pairs import Pair, read_pair
from congeal.data.sample import Sample
from congeal.data.split import PARTS
from congeal.data.standard import StandardDataset

__all__ = ["Dsb2018Dataset"]

_MAX_PROBED = 20  # subfolders checked to recognise the layout


class Dsb2018Dataset(StandardDataset):
    """Nuclei in the layout of the archive: ``ID/images/ID.png``, ``ID/masks/*.png`` (one each).

    Where nuclei overlap, the smaller one is on top. The validation split is made by hash; the
    published test images have no masks.

    Args:
        root: the folder ``stage1_train``, or its parent.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: of the train/validation split by hash.
        name: of the dataset; None: its path.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> Dsb2018Dataset.protocol
        'matching'
    """

    layout: ClassVar[str] = "DSB 2018 (a folder per image with images and masks)"
    protocol = "matching"

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder that holds one folder per image."""
        candidates = (path, path / "stage1_train")
        return next((p for p in candidates if _has_layout(p)), None)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The image and mask folder of every image."""
        folders = sorted(folder for folder in home.iterdir() if (folder / "images").is_dir())
        return {"all": [_pair(folder) for folder in folders]}

    def read(self, pair: Pair) -> Sample:
        """Read the image and merge its masks into a label map."""
        return read_pair(pair)


def _pair(folder: Path) -> Pair:
    image = folder / "images" / f"{folder.name}.png"
    return Pair(folder.name, image, folder / "masks")


def _has_layout(path: Path) -> bool:
    """Whether a subfolder has the name of its image, unlike the split folders of user data."""
    if not path.is_dir():
        return False
    inside = islice((entry for entry in path.iterdir() if entry.name not in PARTS), _MAX_PROBED)
    return any((entry / "images" / f"{entry.name}.png").is_file() for entry in inside)
