"""Reader of ADE20K (scene parsing) and of datasets in the same folder layout."""

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
    """Semantic segmentation in 150 classes; 0 in the files is void, as in the benchmark.

    There are no instances: each class of an image is one label. Class names come from
    ``objectInfo150.txt`` or ``classes.txt``; without these files they are ``class 1`` to
    ``class 150`` for ADE20K, and empty for another dataset in the same layout.

    Args:
        root: the folder with ``images`` and ``annotations``, each with ``training`` and
            ``validation`` (or ``train`` and ``val``), or ``ADEChallengeData2016`` above it.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: of the hash split; not used where the dataset has a validation split.
        name: of the dataset; None: its path.

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
        parents, kinds = ("", "ADEChallengeData2016"), ("images", "annotations")
        homes = (
            first_folder(path, parents, [f"{kind}/{folder}" for kind in kinds])
            for folder in _FOLDERS["train"]
        )
        return next((home for home in homes if home is not None), None)

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """Image and annotation files of every split that has annotations."""
        return {
            part: _pairs(home, folder)
            for part, folders in _FOLDERS.items()
            for folder in folders
            if (home / "images" / folder).is_dir() and (home / "annotations" / folder).is_dir()
        }

    def read(self, pair: Pair) -> Sample:
        """Read the image and its semantic map."""
        image, semantic = read_image(pair.image), read_void(pair.mask, 0)
        check_sizes(image.shape[:2], pair.image, semantic.shape, pair.mask)
        labels, classes = class_regions(semantic)
        return Sample(pair.name, image, labels, pair.image, semantic=semantic, classes=classes)


def _pairs(home: Path, folder: str) -> list[Pair]:
    masks = home / "annotations" / folder
    files = image_files(home / "images" / folder)
    return [Pair(path.stem, path, masks / f"{path.stem}.png") for path in files]


def _class_names(home: Path) -> tuple[str, ...]:
    """Class names: the first synonym in the last column of the table, below its header line."""
    table, own = home / "objectInfo150.txt", home / "classes.txt"
    if table.is_file():
        rows = [line.split("\t")[-1] for line in read_list(table)[1:]]
        return ("background", *(row.split(",")[0].split(";")[0].strip() for row in rows))
    if own.is_file():
        return read_class_names(own)[0]
    if (home / "images" / "training").is_dir():
        return ("background", *(f"class {number}" for number in range(1, _CLASSES + 1)))
    return ()
