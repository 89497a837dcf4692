"""A user's folder: images/ and masks/ with files of the same name.

Understood layouts, each with ``labels`` in place of ``masks`` if you like::

    images/NAME.png         masks/NAME.png          a label map for each image
    images/NAME.png         masks/NAME/*.png        or a binary mask for each object
    images/NAME.png         masks/CLASS/NAME.png    either of them in a folder for each class
    images/train/NAME.png   masks/train/NAME.png    with splits train, val, test inside
    train/images/NAME.png   train/masks/NAME.png    or outside

Classes come from the folders of classes, from ``classes.csv`` (a row for each object), or from
maps of classes ``semantic/NAME.png`` named by ``classes.txt``, which do without masks too.
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
from congeal.data.images import Channels, image_files
from congeal.data.marks import read_marked, stored_labels, unknown_rows
from congeal.data.matching import name_some, pair_files, passed_over
from congeal.data.pairs import Pair, PairedDataset
from congeal.data.sample import LabelMap, Sample
from congeal.data.split import SPLIT_FOLDERS, select_split, split_folders
from congeal.errors import CongealError

__all__ = ["FolderDataset", "folder_classes", "folder_notes", "folder_parts"]

_MASK_FOLDERS = ("masks", "labels")
_SEMANTIC = "semantic"
_NAMES, _ROWS = "classes.txt", "classes.csv"


@dataclass(frozen=True)
class _Place:
    """Folders that belong together."""

    images: Path
    masks: Path | None
    semantic: Path | None

    def folders(self) -> list[Path]:
        """Those that there are."""
        return [path for path in (self.images, self.masks, self.semantic) if path is not None]


class FolderDataset(PairedDataset):
    """The images of a folder with their masks and classes, or one split of them.

    With classes, objects are numbered 1..K in the order of their labels. Maps of classes without
    masks are judged by ``miou``, and every class of an image is one object.

    Args:
        root: the folder that holds ``images`` and ``masks``.
        split: ``"all"``, ``"train"``, ``"val"`` or ``"test"``. Where the folder has no split
            for validation, one in seven images is chosen by a hash of its name.
        seed: seed of that choice.
        lost: takes a line for each file without its counterpart, which is an error otherwise.
        channels: which channels of the images to take, as in `read_image`.

    Raises:
        CongealError: a folder is missing or empty, an image has no mask or the reverse, the
            split does not exist, or classes are named wrongly.

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
        lost: list[str] | None = None,
        channels: Channels = None,
    ) -> None:
        self.channels = channels
        parts = folder_parts(root, lost)
        pairs = select_split(parts, split, name=lambda p: p.name, where=str(root), seed=seed)
        super().__init__(str(root), split, pairs)
        self.classes = folder_classes(root, parts)
        self.class_names = self.classes.names
        self.has_background = not self.classes.zero_is_void
        if self.class_names:
            self.other_protocols = ("coco", "miou")
        if len(self.class_names) > 2:  # matching looks at no class
            self.protocol, self.other_protocols = "coco", ("matching", "miou")
        if pairs and all(pair.mask == pair.semantic for pair in pairs):
            self.protocol, self.other_protocols = "miou", ()

    def __getitem__(self, index: int) -> Sample:
        return read_marked(self.pairs[index], self.classes, self.channels)

    def stored(self, index: int) -> LabelMap | None:
        """The labels of a sample as numbered in its file; None where they are those of the sample.

        Raises:
            CongealError: the mask cannot be read.
        """
        pair = self.pairs[index]
        if not self.class_names or pair.class_masks or pair.mask == pair.semantic:
            return None
        return stored_labels(pair)

    def row_problems(self, index: int) -> list[str]:
        """Say which rows of ``classes.csv`` name no object of a sample.

        Raises:
            CongealError: the mask cannot be read.
        """
        strange = unknown_rows(self.pairs[index], self.classes)
        if not strange:
            return []
        return [f"{_ROWS} has labels that its mask has not: {name_some(strange)}"]


def folder_parts(root: str | Path, lost: list[str] | None = None) -> dict[str, list[Pair]]:
    """Find the pairs of a folder: under ``"all"``, or under train, val and test.

    Args:
        root: the folder.
        lost: takes a line for each file without its counterpart, which is an error otherwise.

    Raises:
        CongealError: as for `FolderDataset`.

    Example:
        >>> folder_parts("nowhere")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: no such folder: nowhere
    """
    places = _places(Path(root), lost)
    return {
        part: pair_files(place.images, place.masks, lost, place.semantic)
        for part, place in places.items()
    }


def folder_notes(root: str | Path) -> list[str]:
    """Say what of a folder is passed over, a line for each kind.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("images", "masks"):
        ...     (root / name).mkdir()
        >>> _ = (root / "images" / "a.czi").write_bytes(b"")
        >>> len(folder_notes(root))
        1
    """
    places = _places(Path(root), [])
    folders = [folder for place in places.values() for folder in place.folders()]
    told = (passed_over(folder) for folder in folders if folder.is_dir())
    return [note for note in told if note]


def _places(root: Path, lost: list[str] | None) -> dict[str, _Place]:
    """The folders of each split, or of everything under ``"all"``."""
    if not root.exists():
        raise CongealError(f"no such folder: {root}")
    if not root.is_dir():
        raise CongealError(f"expected a folder with images and masks, {root} is a file")
    outside = split_folders(root)
    if outside and not (root / "images").is_dir():
        return {part: _place(folder) for part, folder in _with_images(outside, lost).items()}
    whole = _place(root)
    inside = split_folders(whole.images)
    if not inside:
        return {"all": whole}
    loose = image_files(whole.images)
    if loose:
        raise CongealError(
            f"expected images either in {whole.images} or in its folders "
            f"{name_some(path.name for path in inside.values())}, found both "
            f"({name_some(path.name for path in loose)})"
        )
    if lost is not None:
        lost += _strange_folders(whole.images, inside)
    return {
        part: _Place(
            folder, _within(whole.masks, part, folder), _within(whole.semantic, part, folder)
        )
        for part, folder in inside.items()
    }


def _with_images(folders: Mapping[str, Path], lost: list[str] | None) -> dict[str, Path]:
    found = {part: folder for part, folder in folders.items() if (folder / "images").is_dir()}
    bare = [folder for part, folder in folders.items() if part not in found]
    if not found:
        _place(bare[0])  # says what is missing
    if bare and lost is None:
        raise CongealError(f"expected the folder images in {bare[0]}, as in the other splits")
    for folder in bare:
        assert lost is not None
        lost.append(f"{folder}: no folder images in it, as the other splits have")
    return found


def _strange_folders(images: Path, splits: Mapping[str, Path]) -> list[str]:
    names = " or ".join(name for names in SPLIT_FOLDERS.values() for name in names[:1])
    return [
        f"{path}: the folder is passed over, for splits are called {names}"
        for path in sorted(images.iterdir())
        if path.is_dir() and path not in splits.values() and not path.name.startswith(".")
    ]


def _within(folder: Path | None, part: str, images: Path) -> Path | None:
    """The folder of a split among masks, which may be called otherwise than that of the images."""
    return None if folder is None else split_folders(folder).get(part, folder / images.name)


def _place(root: Path) -> _Place:
    images = root / "images"
    masks = next((root / name for name in _MASK_FOLDERS if (root / name).is_dir()), None)
    semantic = root / _SEMANTIC if (root / _SEMANTIC).is_dir() else None
    if images.is_dir() and (masks or semantic):
        return _Place(images, masks, semantic)
    missing = "images" if not images.is_dir() else "masks"
    held = name_some(sorted(path.name for path in root.iterdir())) or "nothing"
    raise CongealError(
        f"expected the folders images and masks in {root}, found no {missing} (it holds {held})"
    )


def folder_classes(root: str | Path, parts: Mapping[str, Sequence[Pair]]) -> FolderClasses:
    """Read the names of the classes of a folder, and the classes of its objects.

    The names are those of ``classes.txt``, or else all of ``classes.csv`` and of the folders of
    classes, in natural order. Both files lie in the folder, or in the folders of the splits.

    Args:
        root: the folder.
        parts: its pairs by split, as `folder_parts` gives them.

    Raises:
        CongealError: classes are named wrongly, or come from two places that may disagree.

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
        raise CongealError(f"expected classes from {table} or from folders of masks, found both")
    if tables and any(pair.mask == pair.semantic for pair in every):
        table = next(iter(tables.values()))
        raise CongealError(f"expected masks of the objects that {table} tells the class of")
    rows = {part: read_class_rows(path) for part, path in tables.items()}
    called = folders | {row.name for some in rows.values() for row in some if row.name}
    semantic = any(pair.semantic for pair in every)
    if not called and not semantic:  # names alone tell no class
        return FolderClasses()
    names, zero_is_void = _names(root, parts, called, semantic)
    if not rows:
        return FolderClasses(names, zero_is_void)
    found: dict[Path, dict[str, int]] = {}
    problems = list[str]()
    for part, some in rows.items():
        images = _image_names(root, every if part == "" else parts[part])
        of_part, lost = classes_of_rows(some, images, names)
        found |= of_part
        problems += lost
    return FolderClasses(names, zero_is_void, found, problems)


def _class_files(root: Path, name: str, parts: Iterable[str]) -> dict[str, Path]:
    """A file of the whole folder under ``""``, or else those of the splits."""
    if (root / name).is_file():
        return {"": root / name}
    folders = {part: path for part, path in split_folders(root).items() if part in parts}
    return {part: path / name for part, path in folders.items() if (path / name).is_file()}


def _names(
    root: Path, parts: Iterable[str], called: set[str], semantic: bool
) -> tuple[tuple[str, ...], bool]:
    files = list(_class_files(root, _NAMES, parts).values())
    if not files and semantic:
        raise CongealError(
            f"expected {root / _NAMES}, which names the classes of the maps in {_SEMANTIC} (one "
            "name a line, class 1 first), found none"
        )
    if not files:
        return order_classes(called, str(root)), False
    told = [read_class_names(path) for path in files]
    if any(one != told[0] for one in told):
        raise CongealError(f"expected the same classes in every split, {files[0]} says otherwise")
    strange = sorted(called - set(told[0][0]))
    if strange:
        raise CongealError(f"expected the classes of {files[0]}, {root} has {strange[0]!r:.80} too")
    return told[0]


def _image_names(root: Path, pairs: Iterable[Pair]) -> dict[str, list[Path]]:
    """The image files by all they may be called: with folders or without, with ending or not."""
    found: dict[str, list[Path]] = {}
    for pair in pairs:
        parts = pair.image.relative_to(root).parts
        bare = [part for part in parts if part != "images"]
        tails = {"/".join(p[k:]) for p in (parts, bare) for k in range(len(p))}
        ending = pair.image.suffix
        for tail in tails | {tail.removesuffix(ending) for tail in tails} | {pair.name}:
            found.setdefault(tail, []).append(pair.image)
    return found
