"""Reader of SBD, the Semantic Boundaries Dataset: instances for 11,355 images of VOC 2011."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from congeal.data.images import read_image
from congeal.data.matlab import integer_map, read_mat
from congeal.data.pairs import Pair, check_sizes
from congeal.data.sample import LabelMap, Sample
from congeal.data.standard import StandardDataset, first_folder, read_list
from congeal.data.voc import VOC_CLASSES
from congeal.errors import CongealError
from congeal.labels import relabel

__all__ = ["SbdDataset"]


class SbdDataset(StandardDataset):
    """Objects of the 20 classes of PASCAL VOC, stored in MATLAB files; 255 is void.

    The splits differ from those of VOC: some training images are validation images of VOC.

    Args:
        root: the folder with ``img``, ``inst`` and ``cls``, or ``benchmark_RELEASE`` above it.
        split: ``"train"``, ``"val"`` or ``"all"``.
        seed: of the hash split; not used where the split lists exist.
        name: of the dataset; None: its path.

    Raises:
        CongealError: the folder does not hold the dataset, or a file cannot be used.

    Example:
        >>> len(SbdDataset.class_names)
        21
    """

    layout: ClassVar[str] = "SBD (img, inst, cls, train.txt, val.txt)"
    protocol = "apr"
    other_protocols = ("miou",)
    class_names = VOC_CLASSES

    @classmethod
    def find(cls, path: Path) -> Path | None:
        """The folder with ``img`` and ``inst`` (``dataset`` in the archive)."""
        parents = ("", "dataset", "benchmark_RELEASE/dataset")
        return first_folder(path, parents, ("img", "inst"))

    @classmethod
    def list_pairs(cls, home: Path) -> dict[str, list[Pair]]:
        """The images listed in ``train.txt`` and ``val.txt``, or else all files of ``inst``."""
        lists = {part: home / f"{part}.txt" for part in ("train", "val")}
        found = {
            part: _pairs(home, read_list(path)) for part, path in lists.items() if path.is_file()
        }
        if found:
            return found
        return {"all": _pairs(home, sorted(path.stem for path in (home / "inst").glob("*.mat")))}

    def read(self, pair: Pair) -> Sample:
        """Read the image, its instances (``GTinst``) and its semantic map (``GTcls``)."""
        image = read_image(pair.image)
        record = read_mat(pair.mask, "GTinst")
        stored = _void_255(integer_map(record, "Segmentation", pair.mask))
        classes = _categories(record, stored, pair.mask)
        check_sizes(image.shape[:2], pair.image, stored.shape, pair.mask)
        by_class = pair.mask.parent.with_name("cls") / pair.mask.name
        if by_class.exists():
            semantic = integer_map(read_mat(by_class, "GTcls"), "Segmentation", by_class)
            semantic = _void_255(semantic)
            check_sizes(image.shape[:2], pair.image, semantic.shape, by_class)
        else:
            by_number = np.concatenate([[0], classes])  # class of each object, 0 for background
            semantic = np.where(stored < 0, stored, by_number[np.maximum(stored, 0)])
        present = np.unique(stored[stored > 0])
        return Sample(
            pair.name,
            image,
            relabel(stored),
            pair.image,
            semantic=semantic,
            classes=classes[present - 1],
        )


def _pairs(home: Path, names: list[str]) -> list[Pair]:
    return [Pair(name, home / f"img/{name}.jpg", home / f"inst/{name}.mat") for name in names]


def _void_255(stored: LabelMap) -> LabelMap:
    stored[stored == 255] = -1
    return stored


def _categories(record: Any, stored: LabelMap, path: Path) -> LabelMap:
    """Class of each object, in order of the labels of the file, `(n,)`."""
    classes = np.atleast_1d(np.asarray(getattr(record, "Categories", []))).ravel()
    highest = int(stored.max(initial=0))
    if len(classes) < highest:
        raise CongealError(
            f"expected a class for each of {highest} objects in Categories of {path}, "
            f"got {len(classes)}"
        )
    return classes.astype(np.int64)
