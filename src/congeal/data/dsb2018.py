"""Data Science Bowl 2018, stage 1: cell nuclei with a binary mask for each."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import ClassVar

from congeal.data.pairs import Pair, read_pair
from congeal.data.sample import Sample
from congeal.data.split import PARTS
from congeal.data.standard import StandardDataset

__all__ = ["Dsb2018Dataset"]

_LOOKED_AT = 20


class Dsb2018Dataset(StandardDataset):
    """Nuclei as in the archive: ``ID/images/ID.png`` and ``ID/masks/*.png``, one per nucleus.

    Of nuclei that overlap the smaller one is on top. The published test images have no masks, so
    validation images are chosen by hash.

    Args:
        root: the folder ``stage1_train``, or the one that holds it.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: seed of the division.
        name: what to call the dataset; its path when None.

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
        """The folder of the images' folders."""
        places = (path, path / "stage1_train")
        return next((place for place in places if _holds_images(place)), None)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """One image from every folder that has any."""
        folders = sorted(folder for folder in home.iterdir() if (folder / "images").is_dir())
        return {"all": [_pair(folder) for folder in folders]}

    def read(self, pair: Pair) -> Sample:
        """Read the image and join its masks."""
        return read_pair(pair)


def _pair(folder: Path) -> Pair:
    image = folder / "images" / f"{folder.name}.png"
    return Pair(folder.name, image, folder / "masks")


def _holds_images(path: Path) -> bool:
    """Whether a folder inside is named as its image is; splits of a user's folder are not."""
    if not path.is_dir():
        return False
    inside = islice((entry for entry in path.iterdir() if entry.name not in PARTS), _LOOKED_AT)
    return any((entry / "images" / f"{entry.name}.png").is_file() for entry in inside)
