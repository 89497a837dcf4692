"""A user's folder: images/ and masks/ with files of the same name.

Understood layouts, each with ``labels`` in place of ``masks`` if you like::

    images/NAME.png         masks/NAME.png          a label map for each image
    images/NAME.png         masks/NAME/*.png        or a binary mask for each object
    images/train/NAME.png   masks/train/NAME.png    with splits train, val, test inside
    train/images/NAME.png   train/masks/NAME.png    or outside
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from congeal.data.images import SUFFIXES, image_files, natural_key
from congeal.data.pairs import Pair, PairedDataset
from congeal.data.split import PARTS, select_split
from congeal.errors import CongealError

__all__ = ["FolderDataset", "folder_parts", "pair_files"]

_MASK_FOLDERS = ("masks", "labels")
_MASK_ENDINGS = ("_labels", "_masks", "_mask")


class FolderDataset(PairedDataset):
    """The images of a folder with their masks, or one split of them.

    Args:
        root: the folder that holds ``images`` and ``masks``.
        split: ``"all"``, ``"train"``, ``"val"`` or ``"test"``. Where the folder has no split
            for validation, one in seven images is chosen by a hash of its name.
        seed: seed of that choice.
        lost: takes a line for each file without its counterpart, which is an error otherwise.

    Raises:
        CongealError: a folder is missing or empty, an image has no mask or the reverse, or the
            split does not exist.

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
    ) -> None:
        parts = folder_parts(root, lost)
        pairs = select_split(parts, split, name=lambda p: p.name, where=str(root), seed=seed)
        super().__init__(str(root), split, pairs)


def folder_parts(root: str | Path, lost: list[str] | None = None) -> dict[str, list[Pair]]:
    """Find the pairs of a folder: under ``"all"``, or under train, val and test.

    Raises:
        CongealError: as for `FolderDataset`.

    Example:
        >>> folder_parts("nowhere")
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: no such folder: nowhere
    """
    root = Path(root)
    _check_folder(root)
    outside = [part for part in PARTS if (root / part / "images").is_dir()]
    if outside and not (root / "images").is_dir():
        return {part: _pairs_in(root / part, lost) for part in outside}
    images, masks = _images_and_masks(root)
    inside = [part for part in PARTS if (images / part).is_dir()]
    if not inside:
        return {"all": pair_files(images, masks, lost)}
    loose = image_files(images)
    if loose:
        raise CongealError(
            f"expected images either in {images} or in its folders {_some(inside)}, found "
            f"both ({_some(path.name for path in loose)})"
        )
    return {part: pair_files(images / part, masks / part, lost) for part in inside}


def _pairs_in(folder: Path, lost: list[str] | None) -> list[Pair]:
    return pair_files(*_images_and_masks(folder), lost)


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise CongealError(f"no such folder: {folder}")
    if not folder.is_dir():
        raise CongealError(f"expected a folder with images and masks, {folder} is a file")


def _images_and_masks(root: Path) -> tuple[Path, Path]:
    images = root / "images"
    masks = next((root / name for name in _MASK_FOLDERS if (root / name).is_dir()), None)
    if images.is_dir() and masks is not None:
        return images, masks
    missing = "images" if not images.is_dir() else "masks"
    held = _some(sorted(path.name for path in root.iterdir())) or "nothing"
    raise CongealError(
        f"expected the folders images and masks in {root}, found no {missing} (it holds {held})"
    )


def pair_files(images: Path, masks: Path, lost: list[str] | None = None) -> list[Pair]:
    """Match the images of one folder with the masks of another by name, endings aside.

    ``cell_labels.tif``, ``cell_masks.png`` and ``cell_mask.png`` go with ``cell.png`` too.

    Args:
        images: the folder of the images.
        masks: the folder of their masks.
        lost: takes a line for each file without its counterpart, which is an error otherwise.

    Raises:
        CongealError: no images, two files for one name, or a name without its counterpart.

    Example:
        >>> import tempfile
        >>> images, masks = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> _ = (images / "a.jpg").write_bytes(b""), (masks / "a.tif").write_bytes(b"")
        >>> [(pair.name, pair.mask.name) for pair in pair_files(images, masks)]
        [('a', 'a.tif')]
    """
    _check_folder(masks)
    files = image_files(images)
    if not files:
        raise CongealError(f"expected images (PNG, JPEG or TIFF) in {images}, {_contents(images)}")
    named = _by_name(files, images, set())
    marked = _by_name(_mask_entries(masks), masks, set(named))
    if lost is None:
        _check_counterparts(named, marked, masks)
    else:
        lost += _without_counterpart(named, marked, masks)
    return [Pair(name, path, marked[name]) for name, path in named.items() if name in marked]


def _contents(folder: Path) -> str:
    endings = Counter(path.suffix.lower() for path in folder.iterdir() if path.is_file())
    common = ", ".join(f"{n} {ending or 'without ending'}" for ending, n in endings.most_common(3))
    return f"found other files only ({common})" if endings else "it is empty"


def _mask_entries(folder: Path) -> list[Path]:
    """Mask files, and folders of binary masks, in natural order."""
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    wanted = [path for path in entries if path.is_dir() or path.suffix.lower() in SUFFIXES]
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
    """What a file is about: its name without ending, and without a mask's suffix."""
    name = path.name if path.is_dir() else path.stem
    name = name.removesuffix(".ome")
    if name in known:
        return name
    bare = (name.removesuffix(ending) for ending in _MASK_ENDINGS)
    return next((short for short in bare if short in known), name)


def _check_counterparts(named: dict[str, Path], marked: dict[str, Path], masks: Path) -> None:
    bare = [path.name for name, path in named.items() if name not in marked]
    if bare:
        first = Path(bare[0]).stem
        raise CongealError(
            f"expected a mask for every image, {masks} has none for {_some(bare)} "
            f"(looked for {first}.png, {first}.tif or a folder {first})"
        )
    lost = [path.name for name, path in marked.items() if name not in named]
    if lost:
        raise CongealError(f"expected an image for every mask, {masks} has {_some(lost)} without")


def _without_counterpart(named: dict[str, Path], marked: dict[str, Path], masks: Path) -> list[str]:
    bare = [path for name, path in named.items() if name not in marked]
    stray = [path for name, path in marked.items() if name not in named]
    return [
        *(f"{path}: no mask in {masks}; draw one or take the image out" for path in bare),
        *(f"{path}: no image for this mask; add it or take the mask out" for path in stray),
    ]


def _some(names: Iterable[str], shown: int = 3) -> str:
    every = list(names)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(every[:shown]) + more
