"""Opens datasets by specification: a name, or the path of a folder, a COCO file or arrays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from congeal.data.catalogue import DATASETS, DatasetInfo
from congeal.data.drawn import KINDS, DrawnDataset, split_drawing
from congeal.data.folder import FolderDataset, folder_parts
from congeal.data.images import Channels
from congeal.data.layouts import NAMED, find_layout, find_named
from congeal.data.packs import PackDataset, has_pack
from congeal.data.sample import Dataset, Subset
from congeal.errors import CongealError, unknown

__all__ = [
    "DATASETS",
    "DatasetInfo",
    "dataset_splits",
    "has_fixed_channels",
    "held_out_split",
    "is_available",
    "open_dataset",
    "split_channels",
    "split_spec",
    "stored_splits",
]

_SPLITS = ("train", "val", "test")
_CHANNELS = re.compile(r"(.+):channels=(\d{1,5}(?:,\d{1,5})*)", re.ASCII)


def open_dataset(
    spec: str | Path,
    split: str = "all",
    *,
    root: str | Path | None = None,
    count: int | None = None,
    size: int | None = None,
    seed: int = 0,
    channels: Channels = None,
) -> Dataset:
    """Open a dataset by name or by path.

    Args:
        spec: a name out of ``DATASETS`` (``NAME=FOLDER`` with its location), a synthetic dataset
            with options such as ``sticks:8`` or ``shapes:objects=2-5,overlap=0.3``, a folder, a
            COCO ``.json``, a ``.npz`` or a Zarr group. Folder layouts of published datasets are
            recognised. A name takes precedence over a folder of the same name: write ``./nuclei``
            for the folder. In a folder, a COCO file takes precedence over masks. Channels may be
            appended to a path: ``my_folder:channels=0,2``.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        root: folder of a named dataset; None: below ``CONGEAL_DATA``.
        count: maximum number of samples (synthetic datasets: number of samples).
        size: side of synthetic images in pixels; an error for images from files.
        seed: of synthetic datasets and of train/validation splits by hash.
        channels: indices of the image channels to read, from 0, in this order, for folders of
            masks, COCO files and arrays; ``"all"``: all but alpha; None: images have to be gray or
            RGB.

    Raises:
        CongealError: the name or folder does not exist, or cannot be read.

    Example:
        >>> open_dataset("sticks", "train", count=10)
        <sticks (train): 10 images>
    """
    spec, own_channels = split_channels(spec)
    channels = _checked_channels(spec, own_channels if channels is None else channels)
    name, folder = split_spec(spec)
    folder = Path(root) if root is not None and folder is None else folder
    drawing = split_drawing(name)
    if drawing is not None:
        _refuse_folder(name, folder)
        kind, options = drawing
        options["size"] = options.get("size") if size is None else size
        return DrawnDataset(kind, split, count=count, seed=seed, **options)
    if size is not None:
        raise CongealError(f"expected a size for synthetic images only, {spec} is read from files")
    if name in NAMED:
        dataset = NAMED[name].open(find_named(name, folder), split, seed=seed, name=name)
    elif name in DATASETS:
        dataset = PackDataset(name, split, folder)
    else:
        _refuse_folder(str(spec), folder)
        dataset = _open_path(Path(spec), split, seed, channels)
    if count is None:
        return dataset
    if count < 1:
        raise CongealError(f"expected a count of 1 or more samples, got {count}")
    return Subset(dataset, range(min(count, len(dataset))))


def _refuse_folder(name: str, folder: Path | None) -> None:
    if folder is not None:
        raise CongealError(f"expected a folder for published datasets only, {name} needs none")


def split_spec(spec: str | Path) -> tuple[str, Path | None]:
    """Split ``NAME=FOLDER``; any other specification is returned unchanged, with None.

    Example:
        >>> split_spec("voc2012=VOCdevkit"), split_spec("my=folder")
        (('voc2012', PosixPath('VOCdevkit')), ('my=folder', None))
    """
    name, mark, folder = str(spec).partition("=")
    if isinstance(spec, str) and mark and name in DATASETS:
        return name, Path(folder).expanduser()
    return str(spec), None


def split_channels(spec: str | Path) -> tuple[str | Path, tuple[int, ...] | None]:
    """Split ``FOLDER:channels=0,2``; None if the specification has no channels.

    Example:
        >>> split_channels("cells:channels=2,0"), split_channels("sticks:8")
        (('cells', (2, 0)), ('sticks:8', None))
    """
    found = _CHANNELS.fullmatch(str(spec))
    if found is None or Path(spec).exists():
        return spec, None
    return found[1], tuple(int(channel) for channel in found[2].split(","))


def has_fixed_channels(spec: str | Path) -> bool:
    """Whether a dataset has fixed channels: named and synthetic datasets do.

    Example:
        >>> has_fixed_channels("sticks"), has_fixed_channels("./my_folder")
        (True, False)
    """
    name = split_spec(spec)[0]
    return name in DATASETS or split_drawing(name) is not None


def _checked_channels(spec: str | Path, channels: Channels) -> Channels:
    fixed = has_fixed_channels(spec)
    if channels is None or (fixed and channels == "all"):
        return None
    if fixed:
        raise CongealError(f"expected channels for your own images only, {spec} has its own")
    if not len(channels):
        raise CongealError(f"expected at least one channel of {spec}, got none")
    return "all" if channels == "all" else tuple(channels)


def _open_path(path: Path, split: str, seed: int, channels: Channels = None) -> Dataset:
    _check_exists(path)
    found = find_layout(path)
    if found is None:
        return FolderDataset(path, split, seed=seed, channels=channels)
    layout, home = found
    chosen: dict[str, Any] = {} if channels is None else {"channels": channels}
    if channels == "all" and not layout.channels:
        chosen = {}
    if chosen and not layout.channels:
        raise CongealError(f"expected channels for your own images only, {path} has its own")
    return layout.open(home, split, seed=seed, name=str(path), **chosen)


def _check_exists(path: Path) -> None:
    """Raise an error for a missing path, or an unknown name if it has no separator or suffix."""
    if path.exists():
        return
    name = str(path).partition("=")[0]
    if len(Path(name).parts) == 1 and not Path(name).suffix:
        raise unknown("dataset or folder", name, DATASETS)
    kind = "file" if path.suffix else "folder"
    raise CongealError(f"no such {kind}: {path}")


def dataset_splits(spec: str | Path) -> tuple[str, ...]:
    """Names of the splits of a dataset, including those made by hash.

    Raises:
        CongealError: the name or folder does not exist, or cannot be read.

    Example:
        >>> dataset_splits("sticks")
        ('train', 'val', 'test')
    """
    parts = set(stored_splits(spec))
    made = {"train", "val"} if parts & {"all", "train"} else set()
    return tuple(part for part in _SPLITS if part in parts | made)


def stored_splits(spec: str | Path, unpaired: list[str] | None = None) -> tuple[str, ...]:
    """Names of the splits stored in the dataset: some of train, val and test, or ``("all",)``.

    Args:
        spec: as for `open_dataset`.
        unpaired: list that receives one line per unpaired file of a folder; None: such files are
            an error.

    Raises:
        CongealError: the name or folder does not exist, or cannot be read.

    Example:
        >>> stored_splits("sticks")
        ('train', 'val', 'test')
    """
    spec = split_channels(spec)[0]
    name, folder = split_spec(spec)
    if name in NAMED:
        return NAMED[name].splits(find_named(name, folder))
    if name in DATASETS or split_drawing(name) is not None:
        return _SPLITS
    path = Path(spec)
    _check_exists(path)
    found = find_layout(path)
    return tuple(folder_parts(path, unpaired)) if found is None else found[0].splits(found[1])


def held_out_split(spec: str | Path) -> str:
    """The split for testing: ``"test"`` if it exists, else ``"val"``.

    Raises:
        CongealError: the name or folder does not exist, or cannot be read.

    Example:
        >>> held_out_split("sticks")
        'test'
    """
    return "test" if "test" in dataset_splits(spec) else "val"


def is_available(name: str) -> bool:
    """Whether a named dataset can be read: it is synthetic, or its files are found.

    Example:
        >>> is_available("sticks")
        True
    """
    if name not in NAMED:
        return name in KINDS or has_pack(name)
    try:
        find_named(name)
    except CongealError:
        return False
    return True
