"""Reader of a user's folder: images/ and masks/ with files of the same name.

Supported layouts (``masks`` may be named ``labels``)::

    images/NAME.png         masks/NAME.png          one label map per image
    images/NAME.png         masks/NAME/*.png        or one binary mask per object
    images/NAME.png         masks/CLASS/NAME.png    either of them in one folder per class
    images/train/NAME.png   masks/train/NAME.png    splits train, val, test as inner folders
    train/images/NAME.png   train/masks/NAME.png    or as outer folders

Classes come from the class folders, from ``classes.csv`` (one row per object), or from semantic
maps ``semantic/NAME.png`` with names in ``classes.txt``; semantic maps do not require masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from congeal.data.classes import (
    FolderClasses,
    classes_of_rows,
    order_classes,
    read_class_names,
    read_class_rows,
)
from congeal.data.folder_samples import read_folder_sample, stored_labels, unknown_rows
from congeal.data.images import Channels, image_files
from congeal.data.pairing import ignored_files, list_some, pair_files
from congeal.data.pairs import Pair, PairedDataset
from congeal.data.sample import LabelMap, Sample
from congeal.data.split import SPLIT_FOLDERS, select_split, split_folders
from congeal.errors import CongealError

__all__ = ["FolderDataset", "folder_classes", "folder_notes", "folder_parts"]

_MASK_FOLDERS = ("masks", "labels")
_SEMANTIC = "semantic"
_NAMES, _ROWS = "classes.txt", "classes.csv"


@dataclass(frozen=True)
class _Folders:
    """The folders of one split; masks or semantic may be None."""

    images: Path
    masks: Path | None
    semantic: Path | None

    def existing(self) -> list[Path]:
        """The folders that are not None."""
        return [path for path in (self.images, self.masks, self.semantic) if path is not None]


class FolderDataset(PairedDataset):
    """The images of a folder with their masks and classes, or one split of these.

    In data with classes, objects are renumbered 1..K in the order of their labels. In a folder with
    semantic maps only, the protocol is ``miou`` and each class of an image is one label.

    Args:
        root: the folder with ``images`` and ``masks``.
        split: ``"all"``, ``"train"``, ``"val"`` or ``"test"``. Without a validation split in the
            folder, one in seven training images is chosen by a hash of its name.
        seed: of the train/validation split by hash.
        unpaired: list that receives one line per image without mask and mask without image; None:
            such files are an error.
        channels: image channels to read, as in `read_image`.

    Raises:
        CongealError: a folder is missing or empty, an image has no mask or vice versa, the split
            does not exist, or class names are invalid.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for part in ("images", "masks"):
        ...     (root / part).mkdir()
        ...     Image.new("L", (5, 4)).save(root / part / "a.png")
        >>> FolderDataset(root)[0].labels.shape
        (4, 5)
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "all",
        *,
        seed: int = 0,
        unpaired: list[str] | None = None,
        channels: Channels = None,
    ) -> None:
        self.channels = channels
        parts = folder_parts(root, unpaired)
        pairs = select_split(parts, split, name=lambda p: p.name, where=str(root), seed=seed)
        super().__init__(str(root), split, pairs)
        self.classes = folder_classes(root, parts)
        self.class_names = self.classes.names
        self.has_background = not self.classes.zero_is_void
        if self.class_names:
            self.other_protocols = ("coco", "miou")
        if len(self.class_names) > 2:  # the protocol "matching" ignores classes
            self.protocol, self.other_protocols = "coco", ("matching", "miou")
        if pairs and all(pair.mask == pair.semantic for pair in pairs):
            self.protocol, self.other_protocols = "miou", ()

    def __getitem__(self, index: int) -> Sample:
        return read_folder_sample(self.pairs[index], self.classes, self.channels)

    def stored(self, index: int) -> LabelMap | None:
        """The labels of a sample as numbered in its file; None if they are not renumbered.

        Raises:
            CongealError: the mask cannot be read.
        """
        pair = self.pairs[index]
        if not self.class_names or pair.class_masks or pair.mask == pair.semantic:
            return None
        return stored_labels(pair)

    def row_problems(self, index: int) -> list[str]:
        """Report rows of ``classes.csv`` whose label does not occur in the mask of a sample.

        Raises:
            CongealError: the mask cannot be read.
        """
        missing = unknown_rows(self.pairs[index], self.classes)
        if not missing:
            return []
        return [f"labels in {_ROWS} that do not occur in the mask: {list_some(missing)}"]


def folder_parts(root: str | Path, unpaired: list[str] | None = None) -> dict[str, list[Pair]]:
    """Find the image-mask pairs of a folder, by split or under ``"all"``.

    Args:
        root: the folder.
        unpaired: list that receives one line per unpaired file; None: such files are an error.

    Raises:
        CongealError: as for `FolderDataset`.

    Example:
        >>> folder_parts("nowhere")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: no such folder: nowhere
    """
    folders = _find_folders(Path(root), unpaired)
    return {
        part: pair_files(home.images, home.masks, unpaired, home.semantic)
        for part, home in folders.items()
    }


def folder_notes(root: str | Path) -> list[str]:
    """Notes on files of a folder that are ignored, one line per folder.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("images", "masks"):
        ...     (root / name).mkdir()
        >>> _ = (root / "images" / "a.czi").write_bytes(b"")
        >>> len(folder_notes(root))
        1
    """
    folders = _find_folders(Path(root), [])
    every = [folder for homes in folders.values() for folder in homes.existing()]
    notes = (ignored_files(folder) for folder in every if folder.is_dir())
    return [note for note in notes if note]


def _find_folders(root: Path, unpaired: list[str] | None) -> dict[str, _Folders]:
    """The folders of each split, or under ``"all"``."""
    if not root.exists():
        raise CongealError(f"no such folder: {root}")
    if not root.is_dir():
        raise CongealError(f"expected a folder with images and masks, {root} is a file")
    outside = split_folders(root)
    if outside and not (root / "images").is_dir():
        return {part: _inside(folder) for part, folder in _with_images(outside, unpaired).items()}
    whole = _inside(root)
    inside = split_folders(whole.images)
    if not inside:
        return {"all": whole}
    loose = image_files(whole.images)
    if loose:
        raise CongealError(
            f"expected images either in {whole.images} or in its subfolders "
            f"{list_some(path.name for path in inside.values())}, found both "
            f"({list_some(path.name for path in loose)})"
        )
    if unpaired is not None:
        unpaired += _unknown_folders(whole.images, inside)
    return {
        part: _Folders(
            folder,
            _split_folder(whole.masks, part, folder),
            _split_folder(whole.semantic, part, folder),
        )
        for part, folder in inside.items()
    }


def _with_images(folders: Mapping[str, Path], unpaired: list[str] | None) -> dict[str, Path]:
    found = {part: folder for part, folder in folders.items() if (folder / "images").is_dir()}
    missing = [folder for part, folder in folders.items() if part not in found]
    if not found:
        _inside(missing[0])  # raises an error that names the missing folder
    if missing and unpaired is None:
        raise CongealError(f"expected a folder images in {missing[0]}, as in the other splits")
    for folder in missing:
        assert unpaired is not None
        unpaired.append(f"{folder}: it has no folder images, unlike the other splits")
    return found


def _unknown_folders(images: Path, splits: Mapping[str, Path]) -> list[str]:
    names = " or ".join(name for names in SPLIT_FOLDERS.values() for name in names[:1])
    return [
        f"{path}: the folder is ignored, expected the name of a split ({names})"
        for path in sorted(images.iterdir())
        if path.is_dir() and path not in splits.values() and not path.name.startswith(".")
    ]


def _split_folder(folder: Path | None, part: str, images: Path) -> Path | None:
    """The subfolder of a split, whose name may differ from that in images (val, valid)."""
    return None if folder is None else split_folders(folder).get(part, folder / images.name)


def _inside(root: Path) -> _Folders:
    images = root / "images"
    masks = next((root / name for name in _MASK_FOLDERS if (root / name).is_dir()), None)
    semantic = root / _SEMANTIC if (root / _SEMANTIC).is_dir() else None
    if images.is_dir() and (masks or semantic):
        return _Folders(images, masks, semantic)
    missing = "images" if not images.is_dir() else "masks"
    held = list_some(sorted(path.name for path in root.iterdir())) or "nothing"
    raise CongealError(
        f"expected the folders images and masks in {root}, found no {missing} (it has {held})"
    )


def folder_classes(root: str | Path, parts: Mapping[str, Sequence[Pair]]) -> FolderClasses:
    """Read the class names of a folder and the classes of its objects.

    Names come from ``classes.txt`` if it exists, else from ``classes.csv`` and the class folders,
    in natural order. Both files lie in the folder itself or in the split folders.

    Args:
        root: the folder.
        parts: its pairs by split, as of `folder_parts`.

    Raises:
        CongealError: class names are invalid, or come from two sources that may disagree.

    Example:
        >>> folder_classes("nowhere", {}).names
        ()
    """
    root = Path(root)
    every = [pair for pairs in parts.values() for pair in pairs]
    folders = {title for pair in every for title, _ in pair.class_masks}
    tables = _class_files(root, _ROWS, parts)
    if folders and tables:
        table = next(iter(tables.values()))
        raise CongealError(f"expected classes from {table} or from class folders, found both")
    if tables and any(pair.mask == pair.semantic for pair in every):
        table = next(iter(tables.values()))
        raise CongealError(f"expected masks with the objects listed in {table}, found none")
    rows = {part: read_class_rows(path) for part, path in tables.items()}
    used = folders | {row.name for table in rows.values() for row in table if row.name}
    semantic = any(pair.semantic for pair in every)
    if not used and not semantic:  # no object has a class
        return FolderClasses()
    names, zero_is_void = _class_names(root, parts, used, semantic)
    if not rows:
        return FolderClasses(names, zero_is_void)
    classes_of: dict[Path, dict[str, int]] = {}
    problems = list[str]()
    for part, part_rows in rows.items():
        images = _image_names(root, every if part == "" else parts[part])
        of_part, unmatched = classes_of_rows(part_rows, images, names)
        classes_of |= of_part
        problems += unmatched
    return FolderClasses(names, zero_is_void, classes_of, problems)


def _class_files(root: Path, name: str, parts: Iterable[str]) -> dict[str, Path]:
    """A file of the folder itself, under the key ``""``, or else those of the split folders."""
    if (root / name).is_file():
        return {"": root / name}
    folders = {part: path for part, path in split_folders(root).items() if part in parts}
    return {part: path / name for part, path in folders.items() if (path / name).is_file()}


def _class_names(
    root: Path, parts: Iterable[str], used: set[str], semantic: bool
) -> tuple[tuple[str, ...], bool]:
    files = list(_class_files(root, _NAMES, parts).values())
    if not files and semantic:
        raise CongealError(
            f"expected {root / _NAMES} with the class names of the maps in {_SEMANTIC} (one name "
            "per line, class 1 first), found none"
        )
    if not files:
        return order_classes(used, str(root)), False
    contents = [read_class_names(path) for path in files]
    for file, content in zip(files, contents, strict=True):
        if content != contents[0]:
            raise CongealError(f"expected the same classes in every split, {file} differs")
    unlisted = sorted(used - set(contents[0][0]))
    if unlisted:
        raise CongealError(
            f"expected the classes of {files[0]}, {root} also has {unlisted[0]!r:.80}"
        )
    return contents[0]


def _image_names(root: Path, pairs: Iterable[Pair]) -> dict[str, list[Path]]:
    """Image files by each accepted name: with or without folders and ending."""
    found: dict[str, list[Path]] = {}
    for pair in pairs:
        parts = pair.image.relative_to(root).parts
        short = [part for part in parts if part != "images"]
        tails = {"/".join(p[k:]) for p in (parts, short) for k in range(len(p))}
        ending = pair.image.suffix
        for tail in tails | {tail.removesuffix(ending) for tail in tails} | {pair.name}:
            found.setdefault(tail, []).append(pair.image)
    return found
