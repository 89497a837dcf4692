"""Recognition of the folder layouts of published datasets, and their readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from congeal.data.ade20k import Ade20kDataset
from congeal.data.arrays import ArrayDataset, array_splits, find_arrays
from congeal.data.bsds500 import Bsds500Dataset
from congeal.data.camvid import CamVidDataset
from congeal.data.catalogue import DATASETS
from congeal.data.cityscapes import CityscapesDataset
from congeal.data.coco import CocoDataset, coco_files
from congeal.data.coco2017 import Coco2017Dataset, official_files
from congeal.data.coco_exports import CocoExportDataset, export_files
from congeal.data.coco_mini import CocoMiniDataset
from congeal.data.cvppp import CvpppDataset
from congeal.data.davis import DavisDataset
from congeal.data.dsb2018 import Dsb2018Dataset
from congeal.data.packs import PACKS, data_root
from congeal.data.sample import Dataset
from congeal.data.sbd import SbdDataset
from congeal.data.standard import StandardDataset
from congeal.data.voc import VocDataset
from congeal.errors import CongealError

__all__ = ["NAMED", "Layout", "candidate_folders", "find_layout", "find_named"]


@dataclass(frozen=True)
class Layout:
    """Recognition and reader of one folder layout.

    Attributes:
        find: function of a path that returns the root folder of the dataset, None if not found.
        splits: function of the root that returns the names of the splits, or ``("all",)``.
        open: function of root, split, ``seed`` and ``name`` that returns the dataset.
        channels: whether ``open`` accepts the keyword ``channels``.
        folders: possible names of the root below ``CONGEAL_DATA``, for named datasets.
    """

    find: Callable[[Path], Path | None]
    splits: Callable[[Path], tuple[str, ...]]
    open: Callable[..., Dataset]
    folders: tuple[str, ...] = ()
    channels: bool = False


def _standard(reader: type[StandardDataset], *folders: str) -> Layout:
    return Layout(reader.find, reader.list_splits, reader, folders)


def _if(matches: Callable[[Path], object]) -> Callable[[Path], Path | None]:
    return lambda path: path if matches(path) else None


def _keys(files: Callable[[Path], dict[str, Path]]) -> Callable[[Path], tuple[str, ...]]:
    return lambda path: tuple(files(path))


def _leaves(subset: str) -> Layout:
    """One of the folders A1 to A4; the path may be that folder or its parent."""
    reader = partial(CvpppDataset, subset=subset)
    return Layout(CvpppDataset.find, CvpppDataset.list_splits, reader, (*_CVPPP, f"cvppp/{subset}"))


_CVPPP = ("cvppp", "CVPPP", "CVPPP2017_LSC_training")
_OWN_COCO = Layout(_if(coco_files), _keys(coco_files), CocoDataset, channels=True)
_EXPORT = Layout(_if(export_files), _keys(export_files), CocoExportDataset)
_ARRAYS = Layout(_if(find_arrays), array_splits, ArrayDataset, channels=True)


NAMED: dict[str, Layout] = {
    "bsds500": _standard(Bsds500Dataset, "bsds500", "BSDS500", "BSR"),
    "voc2012": _standard(VocDataset, "voc2012", "VOC2012", "VOCdevkit"),
    "sbd": _standard(SbdDataset, "sbd", "SBD", "benchmark_RELEASE"),
    "coco2017": Layout(
        _if(official_files),
        _keys(official_files),
        Coco2017Dataset,
        ("coco2017", "coco", "COCO"),
    ),
    "coco_mini": Layout(_if(coco_files), _keys(coco_files), CocoMiniDataset, ("coco_mini",)),
    "coco_mini:super": Layout(
        _if(coco_files),
        _keys(coco_files),
        partial(CocoMiniDataset, merged=True),
        ("coco_mini",),
    ),
    "cityscapes": _standard(CityscapesDataset, "cityscapes", "Cityscapes"),
    "cvppp": _standard(CvpppDataset, *_CVPPP),
    **{f"cvppp:{subset}": _leaves(subset) for subset in ("A1", "A2", "A3", "A4")},
    "camvid": _standard(CamVidDataset, "camvid", "CamVid"),
    "dsb2018": _standard(Dsb2018Dataset, "dsb2018", "stage1_train"),
    "davis2017": _standard(DavisDataset, "davis2017", "DAVIS"),
    "ade20k": _standard(Ade20kDataset, "ade20k", "ADEChallengeData2016"),
}
"""Named published datasets; for synthetic datasets see `drawn`, for data packs `packs`."""

# In order of precedence. A path that matches no layout is read as a folder of masks.
_PUBLISHED = tuple(layout for layout in NAMED.values() if layout.folders != ("coco_mini",))
_RECOGNISED = (_OWN_COCO, *_PUBLISHED, _EXPORT, _ARRAYS)


def find_layout(path: Path) -> tuple[Layout, Path] | None:
    """Find the layout of a folder or file, and the root folder of the dataset in it.

    Raises:
        CongealError: the path is a ``.json`` that does not exist.

    Example:
        >>> find_layout(Path("nowhere")) is None
        True
    """
    for layout in _RECOGNISED:
        home = layout.find(path)
        if home is not None:
            return layout, home
    return None


def find_named(name: str, root: Path | None = None) -> Path:
    """Find the folder of a named dataset, below ``CONGEAL_DATA`` unless ``root`` is given.

    Raises:
        CongealError: the dataset is not found.

    Example:
        >>> find_named("voc2012", Path("nowhere"))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected voc2012 in nowhere, found no such folder
    """
    layout = NAMED[name]
    candidates = candidate_folders(name) if root is None else [root]
    found = (layout.find(folder) for folder in candidates if folder.exists())
    home = next((folder for folder in found if folder is not None), None)
    if home is not None:
        return home
    if root is not None and not root.exists():
        raise CongealError(f"expected {name} in {root}, found no such folder")
    if root is not None:
        layout.open(root, "all")  # raises an error that names what is missing
    raise CongealError(
        f"expected {name} in {candidates[0]}, found none: download it from "
        f"{DATASETS[name].source}, then set CONGEAL_DATA to its parent folder, or give its "
        f"location as {name}=FOLDER"
    )


def candidate_folders(name: str) -> list[Path]:
    """Folders in which a named dataset is searched; empty for synthetic datasets.

    Example:
        >>> candidate_folders("sticks")
        []
    """
    folders = NAMED[name].folders if name in NAMED else ()
    folders = (PACKS[name].folder,) if name in PACKS else folders
    return [data_root() / folder for folder in folders]
