"""Reader of the three data packs of real images: nuclei, strokes and cables.

A pack is a folder with ``images/SPLIT/NAME``, ``labels/SPLIT/NAME.png`` and an ``index.csv``. Packs
are searched in the folder given by the environment variable ``CONGEAL_DATA``.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from congeal.data.classes import order_classes, paint_classes
from congeal.data.pairs import Pair, PairedDataset
from congeal.data.sample import LabelMap, Pixels, Sample
from congeal.errors import CongealError, unknown

__all__ = [
    "PACKS",
    "SPLITS",
    "Pack",
    "PackDataset",
    "data_root",
    "has_pack",
    "shuffle_labels",
    "to_gray",
]

SPLITS = ("train", "val", "test")
_DEFAULT_ROOT = "../shared/data"


@dataclass(frozen=True)
class Pack:
    """Definition of a named dataset: images of a pack folder, and how they are preprocessed.

    Attributes:
        folder: name of the pack folder.
        suffix: suffix of the image files.
        keep: predicate of the rows of ``index.csv`` to include.
        gray: whether images are converted to gray.
        shuffle: whether object labels are permuted.
        class_column: column of ``index.csv`` with the class of all objects of an image.
    """

    folder: str
    suffix: str
    keep: Callable[[dict[str, str]], bool]
    gray: bool = False
    shuffle: bool = False
    class_column: str = ""


def _modality(name: str) -> Callable[[dict[str, str]], bool]:
    return lambda row: row["modality"] == name


def _everything(row: dict[str, str]) -> bool:
    return True


PACKS: dict[str, Pack] = {
    "nuclei": Pack("nuclei", ".png", _everything),
    "nuclei:modality": Pack("nuclei", ".png", _everything, class_column="modality"),
    "nuclei:fluorescence": Pack("nuclei", ".png", _modality("fluorescence")),
    "nuclei:histology": Pack("nuclei", ".png", _modality("histology")),
    "nuclei:brightfield": Pack("nuclei", ".png", _modality("brightfield")),
    "strokes": Pack("strokes", ".png", _everything),
    # Rope 1 is always red, 2 yellow, 3 green: shuffled labels and gray images do not reveal that.
    "cables": Pack("cables", ".jpg", _everything, shuffle=True),
    "cables:gray": Pack("cables", ".jpg", _everything, gray=True, shuffle=True),
    "cables:gray-3": Pack(
        "cables", ".jpg", lambda row: row["cables"] == "3", gray=True, shuffle=True
    ),
}


def data_root() -> Path:
    """The parent folder of the packs: ``CONGEAL_DATA`` if set, else ``../shared/data``.

    Example:
        >>> isinstance(data_root(), Path)
        True
    """
    return Path(os.environ.get("CONGEAL_DATA") or _DEFAULT_ROOT).expanduser()


def has_pack(name: str) -> bool:
    """Whether the folder of a pack exists.

    Example:
        >>> has_pack("sticks")
        False
    """
    return name in PACKS and (data_root() / PACKS[name].folder).is_dir()


class PackDataset(PairedDataset):
    """A dataset defined in ``PACKS``: one split, or all.

    Args:
        name: one of ``PACKS``, such as ``"nuclei:histology"``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        root: the pack folder or its parent; None: ``data_root()``.

    Raises:
        CongealError: the name or the split is unknown, or the pack is not found.

    Example:
        >>> PackDataset("nuclei", "train", root=Path("nowhere"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected the pack nuclei in nowhere/nuclei, found no \
index.csv; set CONGEAL_DATA to the parent folder of the packs
    """

    def __init__(self, name: str, split: str = "all", root: Path | None = None) -> None:
        if name not in PACKS:
            raise unknown("pack", name, PACKS)
        if split not in (*SPLITS, "all"):
            raise unknown("split", split, (*SPLITS, "all"))
        pack = PACKS[name]
        # Only picklable fields of the pack are stored, for loader workers: lambdas are not.
        self.gray, self.shuffle = pack.gray, pack.shuffle
        parent = root or data_root()
        folder = parent if (parent / "index.csv").is_file() else parent / pack.folder
        splits = SPLITS if split == "all" else (split,)
        index = [row for row in _index(folder) if pack.keep(row)]
        rows = [row for row in index if row["split"] in splits]
        super().__init__(name, split, [_pair(folder, row, pack.suffix) for row in rows])
        self.image_classes: list[int] = []
        if pack.class_column:
            self.class_names = order_classes((row[pack.class_column] for row in index), name)
            self.other_protocols = ("coco", "miou")
            self.image_classes = [self.class_names.index(row[pack.class_column]) for row in rows]

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        image = to_gray(sample.image) if self.gray else sample.image
        labels = sample.labels
        if self.shuffle:
            labels = shuffle_labels(labels, sample.name)
        if not self.image_classes:
            return replace(sample, image=image, labels=labels)
        classes = np.full(int(labels.max(initial=0)), self.image_classes[index], np.int64)
        semantic = paint_classes(labels, classes)
        return replace(sample, image=image, labels=labels, semantic=semantic, classes=classes)


def _index(folder: Path) -> list[dict[str, str]]:
    path = folder / "index.csv"
    if not path.is_file():
        raise CongealError(
            f"expected the pack {folder.name} in {folder}, found no index.csv; "
            "set CONGEAL_DATA to the parent folder of the packs"
        )
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _pair(folder: Path, row: dict[str, str], suffix: str) -> Pair:
    split, name = row["split"], row["name"]
    image = folder / "images" / split / f"{name}{suffix}"
    return Pair(name, image, folder / "labels" / split / f"{name}.png")


def to_gray(image: Pixels) -> Pixels:
    """Convert an RGB image to luma (ITU-R BT.601), `(H, W, 3)` to `(H, W, 1)`.

    The type is kept; gray images are returned unchanged.

    Example:
        >>> to_gray(np.full((1, 1, 3), 200, np.uint8)).tolist()
        [[[200]]]
    """
    if image.shape[2] == 1:
        return image
    luma = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    luma = luma if image.dtype.kind == "f" else np.rint(luma)
    gray: Pixels = luma[..., None].astype(image.dtype)
    return gray


def shuffle_labels(labels: LabelMap, name: str) -> LabelMap:
    """Permute the object labels to 1..K, determined by ``name`` and the old labels alone.

    Example:
        >>> sorted(shuffle_labels(np.array([[0, 1, 2, 3, -1]]), "S3_001")[0].tolist())
        [-1, 0, 1, 2, 3]
    """
    present = np.unique(labels[labels > 0])
    order = sorted(present.tolist(), key=lambda k: hashlib.sha1(f"{name}:{k}".encode()).digest())
    shuffled = labels.copy()
    for new, old in enumerate(order, start=1):
        shuffled[labels == old] = new
    return shuffled
