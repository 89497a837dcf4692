"""ADE20K for scene parsing, and other sets in its folders: a class for every pixel."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from congeal.data.classes import read_class_names
from congeal.data.images import image_files, read_image
from congeal.data.pairs import Pair, check_sizes
from congeal.data.sample import Sample
from congeal.data.semantic import class_regions
from congeal.data.standard import StandardDataset, first_folder, read_list, read_void

__all__ = ["Ade20kDataset"]

_CLASSES = 150
_FOLDERS = {"train": ("training", "train"), "val": ("validation", "val"), "test": ("testing",)}


class Ade20kDataset(StandardDataset):
    """Classes 1 to 150 of pixels; 0, anything else, is void, as the benchmark leaves it out.

    There are no instances, so each class in an image is one object. Names come from
    ``objectInfo150.txt`` or ``classes.txt``; without these ADE20K's are ``class 1`` to
    ``class 150``, and those of another set in its folders are not known.

    Args:
        root: the folder with ``images`` and ``annotations``, each with ``training`` and
            ``validation`` (or ``train`` and ``val``), or ``ADEChallengeData2016`` above it.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: not used where the splits are there.
        name: what to call the dataset; its path when None.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> Ade20kDataset.protocol
        'miou'
    """

    layout: ClassVar[str] = "ADE20K (images and annotations, each with training and validation)"
    protocol = "miou"
    has_background = False

    def __init__(
        self, root: str | Path, split: str = "all", *, seed: int = 0, name: str | None = None
    ) -> None:
        super().__init__(root, split, seed=seed, name=name)
        self.class_names = _class_names(self.root)

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder with ``images`` and ``annotations``."""
        places, kinds = ("", "ADEChallengeData2016"), ("images", "annotations")
        found = (
            first_folder(path, places, [f"{kind}/{folder}" for kind in kinds])
            for folder in _FOLDERS["train"]
        )
        return next((home for home in found if home is not None), None)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The images of every split that has annotations."""
        return {
            part: _pairs(home, folder)
            for part, folders in _FOLDERS.items()
            for folder in folders
            if (home / "images" / folder).is_dir() and (home / "annotations" / folder).is_dir()
        }

    def read(self, pair: Pair) -> Sample:
        """Read the image and its classes."""
        image, semantic = read_image(pair.image), read_void(pair.mask, 0)
        check_sizes(image.shape[:2], pair.image, semantic.shape, pair.mask)
        labels, classes = class_regions(semantic)
        return Sample(pair.name, image, labels, pair.image, semantic=semantic, classes=classes)


def _pairs(home: Path, folder: str) -> list[Pair]:
    masks = home / "annotations" / folder
    files = image_files(home / "images" / folder)
    return [Pair(path.stem, path, masks / f"{path.stem}.png") for path in files]


def _class_names(home: Path) -> tuple[str, ...]:
    """The last column of the table, its first synonym, under a line of titles."""
    table, own = home / "objectInfo150.txt", home / "classes.txt"
    if table.is_file():
        rows = [line.split("\t")[-1] for line in read_list(table)[1:]]
        return ("background", *(row.split(",")[0].split(";")[0].strip() for row in rows))
    if own.is_file():
        return read_class_names(own)[0]
    if (home / "images" / "training").is_dir():
        return ("background", *(f"class {number}" for number in range(1, _CLASSES + 1)))
    return ()
