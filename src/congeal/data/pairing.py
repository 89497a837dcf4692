"""Pairing of image files with mask files and semantic maps by file name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from congeal.data.images import SUFFIXES, image_files, natural_key
from congeal.data.pairs import MASK_SUFFIXES, Pair
from congeal.data.split import SPLIT_FOLDERS
from congeal.errors import CongealError

__all__ = ["class_folders", "ignored_files", "list_some", "pair_files"]

# Suffixes of files that accompany images and are ignored without a note.
_SIDECAR_SUFFIXES = frozenset(
    {".txt", ".csv", ".json", ".md", ".xml", ".yaml", ".yml", ".ini", ".db"}
)
_MASK_ENDINGS = ("_labels", "_masks", "_mask")


def pair_files(
    images: Path,
    masks: Path | None,
    unpaired: list[str] | None = None,
    semantic: Path | None = None,
) -> list[Pair]:
    """Pair the images of one folder with the masks of another by name without suffix.

    ``cell_labels.tif``, ``cell_masks.png`` and ``cell_mask.png`` match ``cell.png`` too. If
    ``masks`` has one folder per class, an image needs a mask in at least one of them.

    Args:
        images: the image folder.
        masks: the mask folder; None if there are semantic maps only.
        unpaired: list that receives one line per unpaired file; None: such files are an error.
        semantic: the folder of semantic maps, one per image.

    Raises:
        CongealError: there are no images, two files have the same name, or a file is unpaired.

    Example:
        >>> import tempfile
        >>> images, masks = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> _ = (images / "a.jpg").write_bytes(b""), (masks / "a.tif").write_bytes(b"")
        >>> [(pair.name, pair.mask.name) for pair in pair_files(images, masks)]
        [('a', 'a.tif')]
    """
    folders = [folder for folder in (masks, semantic) if folder is not None]
    for folder in folders:
        if not folder.is_dir():
            raise CongealError(f"no such folder: {folder}")
    files = image_files(images)
    if not files:
        raise CongealError(f"expected images (PNG, JPEG or TIFF) in {images}, {_contents(images)}")
    named = _by_name(files, images, set())
    pairs = {name: Pair(name, path, path) for name, path in named.items()}
    if masks is not None:
        pairs = _with_masks(pairs, named, masks, unpaired)
    if semantic is not None:
        pairs = _with_semantic(pairs, named, semantic, unpaired, alone=masks is None)
    return list(pairs.values())


def _with_masks(
    pairs: Mapping[str, Pair], named: dict[str, Path], masks: Path, unpaired: list[str] | None
) -> dict[str, Pair]:
    by_class = class_folders(masks, set(named))
    marked: dict[str, list[tuple[str, Path]]] = {}
    for title, folder in by_class.items() if by_class else [("", masks)]:
        for name, path in _by_name(_mask_entries(folder), folder, set(named)).items():
            marked.setdefault(name, []).append((title, path))
    firsts = {name: paths[0][1] for name, paths in marked.items()}
    _report_unpaired(named, firsts, masks, unpaired, "mask")
    return {
        name: Pair(name, pair.image, firsts[name], None, tuple(marked[name]) if by_class else ())
        for name, pair in pairs.items()
        if name in marked
    }


def _with_semantic(
    pairs: Mapping[str, Pair],
    named: dict[str, Path],
    semantic: Path,
    unpaired: list[str] | None,
    alone: bool,
) -> dict[str, Pair]:
    maps = [path for path in _mask_entries(semantic) if path.is_file()]
    marked = _by_name(maps, semantic, set(named))
    _report_unpaired(named, marked, semantic, unpaired, "semantic map")
    return {
        name: Pair(
            name, pair.image, marked[name] if alone else pair.mask, marked[name], pair.class_masks
        )
        for name, pair in pairs.items()
        if name in marked
    }


def class_folders(masks: Path, images: set[str]) -> dict[str, Path]:
    """Find the class folders among masks, ``masks/CLASS/NAME.png``, by class name.

    Folders named like an image are not classes; they hold its binary masks.

    Args:
        masks: the mask folder.
        images: names of the images without suffix.

    Example:
        >>> import tempfile
        >>> masks = Path(tempfile.mkdtemp())
        >>> for name in ("disc", "square"):
        ...     (masks / name).mkdir()
        ...     _ = (masks / name / "a.png").write_bytes(b"")
        >>> sorted(class_folders(masks, {"a"})), class_folders(masks, {"disc"})
        (['disc', 'square'], {})
    """
    entries = _mask_entries(masks)
    folders = {path.name: path for path in entries if path.is_dir()}
    if len(folders) < len(entries) or any(_name(path, images) in images for path in entries):
        return {}
    inside = (path for folder in folders.values() for path in _mask_entries(folder))
    return folders if any(_name(path, images) in images for path in inside) else {}


def _contents(folder: Path) -> str:
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    folders = sorted(path.name for path in entries if path.is_dir())
    if folders:
        known = "; ".join(", ".join(names) for names in SPLIT_FOLDERS.values())
        return f"it has the folders {list_some(folders)} (names of split folders: {known})"
    endings = Counter(path.suffix.lower() for path in entries if path.is_file())
    common = ", ".join(f"{n} {ending or 'without suffix'}" for ending, n in endings.most_common(3))
    return f"found only other files ({common})" if endings else "it is empty"


def _mask_entries(folder: Path) -> list[Path]:
    """Mask files, and folders of binary masks, in natural order."""
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    wanted = [path for path in entries if path.is_dir() or path.suffix.lower() in MASK_SUFFIXES]
    return sorted(wanted, key=lambda path: natural_key(path.name))


def _by_name(paths: Iterable[Path], folder: Path, known: set[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        name = _name(path, known)
        if name in found:
            both = f"{found[name].name} and {path.name}"
            raise CongealError(f"expected one file for {name!r} in {folder}, found {both}")
        found[name] = path
    return found


def _name(path: Path, known: set[str]) -> str:
    """Name of the image that a file belongs to: its stem, without ``_mask`` and the like."""
    name = path.name if path.is_dir() else path.stem
    name = name.removesuffix(".ome")
    if name in known:
        return name
    stripped = (name.removesuffix(ending) for ending in _MASK_ENDINGS)
    return next((short for short in stripped if short in known), name)


def _report_unpaired(
    named: dict[str, Path],
    marked: dict[str, Path],
    masks: Path,
    unpaired: list[str] | None,
    what: str,
) -> None:
    """Refuse names without counterpart, or add a line for each to ``unpaired``."""
    bare = [path for name, path in named.items() if name not in marked]
    stray = [path for name, path in marked.items() if name not in named]
    if unpaired is not None:
        unpaired += [
            f"{path}: no {what} in {masks}; draw one or take the image out" for path in bare
        ]
        unpaired += [
            f"{path}: no image for this {what}; add it or take the {what} out" for path in stray
        ]
        return
    if bare and not marked:
        raise CongealError(
            f"expected a {what} for every image, {masks} has none: {_contents(masks)}"
        )
    if bare:
        first = bare[0].stem
        raise CongealError(
            f"expected a {what} for every image, {masks} has none for "
            f"{list_some(path.name for path in bare)} "
            f"(looked for {first}.png, {first}.tif or a folder {first})"
        )
    if stray:
        some = list_some(path.name for path in stray)
        raise CongealError(f"expected an image for every {what}, {masks} has {some} without")


def ignored_files(folder: Path) -> str | None:
    """Note on the files of a folder that are not read as images, by suffix; None without any.

    Hidden files and files that accompany images (text, tables) are not counted.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a.png", "b.czi", "c.czi", "notes.txt"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> ignored_files(folder).replace(str(folder), "FOLDER")
        '2 files ignored in FOLDER (2 .czi): save them as PNG or TIFF to use them'
    """
    known = SUFFIXES | _SIDECAR_SUFFIXES
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    endings = Counter(
        path.suffix.lower() or "without suffix"
        for path in files
        if path.suffix.lower() not in known and path.is_file()
    )
    if not endings:
        return None
    kinds = ", ".join(f"{number} {ending}" for ending, number in endings.most_common(4))
    total = endings.total()
    noun, them = ("file", "it") if total == 1 else ("files", "them")
    advice = f"save {them} as PNG or TIFF to use {them}"
    return f"{total} {noun} ignored in {folder} ({kinds}): {advice}"


def list_some(names: Iterable[str], shown: int = 3) -> str:
    """List the first few of many names: ``a, b, c and 4 more``.

    Example:
        >>> list_some("abcde")
        'a, b, c and 2 more'
    """
    every = list(names)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(every[:shown]) + more
