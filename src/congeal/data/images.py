"""Reading images and label maps from files, and finding the files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

import numpy as np

from congeal.data.decode import Raster, decode
from congeal.data.sample import LabelMap, Pixels
from congeal.errors import CongealError

__all__ = [
    "SUFFIXES",
    "as_image",
    "expand_images",
    "image_files",
    "natural_key",
    "read_image",
    "read_labels",
]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})

# A gray photograph read as labels has many values, and neighbours inside it differ: 40 % of them
# or more in every photograph we have, at most 8 % in every label map.
_PHOTOGRAPH_VALUES = 24
_PHOTOGRAPH_EDGES = 0.2


def read_image(path: str | Path) -> Pixels:
    """Read a gray or colour picture as `(H, W, C)`, C = 1 or 3, uint8, uint16 or float32.

    Alpha is dropped, palettes are resolved, EXIF orientation is applied; integers other than
    8 and 16 bit unsigned become float32.

    Raises:
        CongealError: the file is missing, truncated, no image, has several pages, channels
            that are neither gray nor RGB, or values that are NaN or infinite.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "cell.png"
        >>> Image.new("RGBA", (5, 4)).save(path)
        >>> read_image(path).shape
        (4, 5, 3)
    """
    raster = decode(path)
    pixels = as_image(_coloured(raster), path)
    if raster.inverted and pixels.dtype != np.float32:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return np.ascontiguousarray(pixels)


def as_image(pixels: Pixels, where: str | Path) -> Pixels:
    """Bring pixels `(H, W)` or `(H, W, C)` of any real type to the form that `Sample` has.

    Args:
        pixels: of one to four channels; alpha, the second or the fourth, is dropped.
        where: what they are, for a message.

    Returns:
        `(H, W, C)`, C = 1 or 3, uint8, uint16 or float32.

    Raises:
        CongealError: there are more channels, or values that are no finite numbers.

    Example:
        >>> as_image(np.zeros((4, 5, 4)), "a").shape
        (4, 5, 3)
    """
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    channels = pixels.shape[2]
    if channels > 4:
        raise CongealError(f"expected a gray or RGB image, {where} has {channels} channels")
    return _stored_type(pixels[..., : 1 if channels <= 2 else 3], where)


def _coloured(raster: Raster) -> Pixels:
    """Look palette indices up; a palette of grays gives one channel."""
    if raster.palette is None:
        return raster.pixels
    indices = np.minimum(raster.pixels, len(raster.palette) - 1)
    colours: Pixels = raster.palette[indices]
    gray = bool((colours == colours[..., :1]).all())
    return colours[..., 0] if gray else colours


def _stored_type(pixels: Pixels, path: str | Path) -> Pixels:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if pixels.dtype.kind not in "iuf":
        raise CongealError(f"expected numbers as pixels, {path} holds {pixels.dtype}")
    with np.errstate(over="ignore"):
        pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        bad = int((~np.isfinite(pixels)).sum())
        raise CongealError(f"expected finite pixels, {path} has {bad} NaN or infinite values")
    return pixels


def read_labels(path: str | Path) -> LabelMap:
    """Read a label map as `(H, W)` int64: 0 background, 1..K objects, -1 void.

    Numbers are kept as stored (of a palette PNG, the indices). A gray picture saved as RGB
    is accepted when its channels agree.

    Raises:
        CongealError: the file cannot be read, is a photograph (RGB, JPEG, or gray values that
            change from pixel to pixel), or holds float or negative labels (other than -1).

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "cell.png"
        >>> Image.fromarray(np.array([[0, 300], [1, 1]], np.uint16)).save(path)
        >>> read_labels(path).tolist()
        [[0, 300], [1, 1]]
    """
    raster = decode(path)
    if raster.lossy:
        raise CongealError(
            f"expected a label map, {path} is a JPEG, which changes labels; use PNG or TIFF"
        )
    pixels = _one_channel(raster.pixels, path)
    if pixels.dtype.kind not in "biu":
        raise CongealError(
            f"expected whole numbers as labels, {path} holds {pixels.dtype}; save it as integers"
        )
    if pixels.dtype.kind == "u" and int(pixels.max()) > np.iinfo(np.int64).max:
        raise CongealError(f"expected labels below 2^63, {path} has {int(pixels.max())}")
    labels: LabelMap = pixels.astype(np.int64)
    _check_labels(labels, path)
    return labels


def _one_channel(pixels: Pixels, path: str | Path) -> Pixels:
    if pixels.ndim == 2:
        return pixels
    channels = pixels.shape[2]
    colours = pixels[..., : 1 if channels <= 2 else 3]
    if channels > 4 or not (colours == colours[..., :1]).all():
        raise CongealError(
            f"expected a label map with one channel, {path} is a colour image; "
            "save the number of each object as a gray value"
        )
    return pixels[..., 0]


def _check_labels(labels: LabelMap, path: str | Path) -> None:
    lowest = int(labels.min())
    if lowest < -1:
        raise CongealError(f"expected labels of 0 and up (-1 for void), {path} has {lowest}")
    if _is_photograph(labels):
        count = len(np.unique(labels[labels > 0]))
        raise CongealError(
            f"expected a label map, {path} looks like a photograph: {count} values that "
            "change from pixel to pixel"
        )


def _is_photograph(labels: LabelMap) -> bool:
    left, right = labels[:, :-1], labels[:, 1:]
    inside = (left > 0) & (right > 0)
    pairs = int(inside.sum())
    if pairs == 0 or int(((left != right) & inside).sum()) < _PHOTOGRAPH_EDGES * pairs:
        return False
    return len(np.unique(labels)) >= _PHOTOGRAPH_VALUES


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Make a sort key under which ``cell2`` comes before ``cell10``.

    Example:
        >>> sorted(["cell10", "cell2", "Cell1"], key=natural_key)
        ['Cell1', 'cell2', 'cell10']
    """
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]
    return [*key, (2, 0, name)]


def image_files(folder: Path) -> list[Path]:
    """List the image files directly inside a folder, in natural order, hidden ones left out.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b10.png", "b9.TIF", "notes.txt", ".hidden.png"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> [path.name for path in image_files(folder)]
        ['b9.TIF', 'b10.png']
    """
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
    visible = [path for path in found if not path.name.startswith(".")]
    return sorted(visible, key=lambda path: natural_key(path.name))


def expand_images(inputs: Sequence[str | Path]) -> list[Path]:
    """Find the image files meant by files, folders and globs: natural order, each one once.

    Files named outright are kept whatever their ending, and even when they do not exist, so
    that a run over many can report the broken one and go on.

    Raises:
        CongealError: nothing was given, or a folder or pattern holds no image.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a2.png", "a10.png"):
        ...     _ = (folder / name).write_bytes(b"")
        >>> [path.name for path in expand_images([folder])]
        ['a2.png', 'a10.png']
    """
    if not inputs:
        raise CongealError("expected image files, folders or patterns, got none")
    found = [path for given in inputs for path in _expand(given)]
    return list(dict.fromkeys(found))


def _expand(given: str | Path) -> list[Path]:
    path = Path(given)
    if path.is_dir():
        files = image_files(path)
        if not files:
            raise CongealError(f"expected images (PNG, JPEG or TIFF) in {path}, found none")
        return files
    if not path.exists() and has_magic(str(given)):
        matches = [Path(match) for match in glob(str(given), recursive=True)]
        images = [
            match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES
        ]
        if not images:
            raise CongealError(f"expected images to match {str(given)!r}, found none")
        return sorted(images, key=lambda image: natural_key(str(image)))
    return [path]
