"""Reading of images and label maps from files, and listing of image files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape, glob, has_magic
from pathlib import Path
from typing import Literal

import numpy as np

from congeal.data.decode import decode, decode_pages
from congeal.data.on_demand import OnDemand
from congeal.data.raster import Raster
from congeal.data.sample import LabelMap, Pixels
from congeal.errors import CongealError, quoted

__all__ = [
    "SUFFIXES",
    "Channels",
    "Picture",
    "as_image",
    "as_whole",
    "expand_images",
    "image_files",
    "natural_key",
    "read_image",
    "read_labels",
    "read_picture",
    "read_pictures",
]

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp"}
    | {".jp2", ".j2k", ".pgm", ".ppm", ".pbm", ".pnm"}
)

# A gray photograph has many values, and neighbouring pixels differ: at least 40 % of the pairs in
# the photographs of our datasets, at most 8 % in their label maps.
_PHOTOGRAPH_VALUES = 24  # minimum number of distinct values
_PHOTOGRAPH_EDGES = 0.2  # minimum fraction of differing neighbours


Channels = Sequence[int] | Literal["all"] | None
"""Channels to read: by index, all but alpha (``"all"``), or gray or RGB only (None)."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image read from a file.

    Attributes:
        pixels: `(H, W, C)` uint8, uint16 or float32.
        note: channels that were dropped, such as ``"alpha left out"``; empty if none.
    """

    pixels: Pixels
    note: str = ""


def read_image(path: str | Path, channels: Channels = None) -> Pixels:
    """Read an image as `(H, W, C)` uint8, uint16 or float32, C = 1 or 3 unless chosen.

    Alpha channels marked as such in the file are dropped, palettes are resolved, the orientation
    tag is applied. Other types than uint8 and uint16 become float32. If 0 means white, values are
    inverted: ``max - v`` for uint8 and uint16, ``-v`` otherwise.

    Args:
        path: the file.
        channels: indices of the channels to read, from 0, alpha included, in this order; ``"all"``:
            all but alpha; None: the image has to be gray or RGB.

    Raises:
        CongealError: the file is missing, truncated, not an image, has several pages, is neither
            gray nor RGB (with ``channels=None``), has NaN or infinite values, or does not fit in
            memory.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "cell.png"
        >>> Image.new("RGBA", (5, 4)).save(path)
        >>> read_image(path).shape, read_image(path, channels=[2, 0]).shape
        ((4, 5, 3), (4, 5, 2))
    """
    return read_picture(path, channels).pixels


def read_picture(path: str | Path, channels: Channels = None) -> Picture:
    """Read an image as `read_image` does, with a note on dropped channels.

    Raises:
        CongealError: as `read_image`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "cell.png"
        >>> Image.new("RGB", (5, 4)).save(path)
        >>> read_picture(path, channels=[2]).note
        'channels 0 and 1 of 3 left out'
    """
    return _picture(decode(path), path, channels)


def read_pictures(path: str | Path, channels: Channels = None) -> Sequence[Picture]:
    """Read every page of a TIFF stack as `read_picture` does; other files have one page.

    A page is read when it is asked for, each time, so a stack is never in memory as a whole.

    Raises:
        CongealError: as `read_image`, or the stack has more than one stack axis.

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.zeros((7, 4, 5), np.uint16), photometric="minisblack")
        >>> len(read_pictures(path)), read_pictures(path)[6].pixels.shape
        (7, (4, 5, 1))
    """
    rasters = decode_pages(path)
    return OnDemand(len(rasters), lambda number: _picture(rasters[number], path, channels))


def _picture(raster: Raster, path: str | Path, channels: Channels) -> Picture:
    colours = _with_channels(_resolve_palette(raster))
    kept = _kept_channels(colours.shape[2], path, channels, raster.alpha)
    pixels = _supported_type(_take(colours, kept), path)
    if raster.inverted:
        integer = pixels.dtype != np.float32
        pixels = np.iinfo(pixels.dtype).max - pixels if integer else 0 - pixels
    note = _note(colours.shape[2], kept, raster.alpha)
    return Picture(np.ascontiguousarray(pixels), note)


def as_image(pixels: Pixels, where: str | Path, channels: Channels = None) -> Pixels:
    """Convert pixels `(H, W)` or `(H, W, C)` of any real type to the format of `Sample.image`.

    Args:
        pixels: one or three channels; any number with ``channels``.
        where: source of the pixels, for error messages.
        channels: indices of the channels to keep, from 0, in this order, or ``"all"``.

    Returns:
        `(H, W, C)` uint8, uint16 or float32, C = 1 or 3 unless chosen.

    Raises:
        CongealError: the number of channels is not supported, or values are not finite.

    Example:
        >>> as_image(np.zeros((4, 5, 4)), "a", channels=[3, 0]).shape
        (4, 5, 2)
    """
    pixels = _with_channels(pixels)
    kept = _kept_channels(pixels.shape[2], where, channels)
    return _supported_type(_take(pixels, kept), where)


def _with_channels(pixels: Pixels) -> Pixels:
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _kept_channels(
    count: int, where: str | Path, chosen: Channels, alpha: Sequence[int] = ()
) -> list[int]:
    """Indices of the channels to keep; only alpha or unchosen channels are dropped."""
    if chosen is None or chosen == "all":
        kept = [channel for channel in range(count) if channel not in alpha]
        if len(kept) in (1, 3) or (chosen and kept):
            return kept
        raise CongealError(
            f"expected a gray or RGB image, {where} has {count} channels; select with --channels "
            "(or FOLDER:channels=0,2; Python: channels=[0, 2])"
        )
    kept = [int(channel) for channel in chosen]
    if not kept or not all(0 <= channel < count for channel in kept):
        given = quoted(kept)
        raise CongealError(f"expected channels from 0 to {count - 1} of {where}, got {given}")
    return kept


def _take(pixels: Pixels, kept: Sequence[int]) -> Pixels:
    all_kept = list(kept) == list(range(pixels.shape[2]))
    return pixels if all_kept else pixels[..., list(kept)]


def _note(count: int, kept: Sequence[int], alpha: Sequence[int]) -> str:
    dropped = [channel for channel in range(count) if channel not in kept]
    if not dropped:
        return ""
    if set(dropped) <= set(alpha):
        return "alpha left out"
    listed = " and ".join(filter(None, [", ".join(map(str, dropped[:-1])), str(dropped[-1])]))
    return f"channel{'s' * (len(dropped) > 1)} {listed} of {count} left out"


def _resolve_palette(raster: Raster) -> Pixels:
    """Look up palette colours; a gray palette gives one channel."""
    if raster.palette is None:
        return raster.pixels
    indices = np.minimum(raster.pixels, len(raster.palette) - 1)
    colours: Pixels = raster.palette[indices]
    gray = bool((colours == colours[..., :1]).all())
    return colours[..., 0] if gray else colours


def _supported_type(pixels: Pixels, path: str | Path) -> Pixels:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.kind not in "iuf":
        raise CongealError(f"expected numeric pixels, {path} has {pixels.dtype}")
    with np.errstate(over="ignore"):
        pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        bad = int((~np.isfinite(pixels)).sum())
        raise CongealError(f"expected finite pixels, {path} has {bad} NaN or infinite values")
    return pixels


def read_labels(path: str | Path) -> LabelMap:
    """Read a label map as `(H, W)` int64: 0 background, 1..K objects, -1 void.

    Values are kept as stored (the indices of a palette PNG); the orientation tag is applied. A gray
    image saved as RGB is accepted if its channels are equal, and a float map (Fiji has no integers
    above 16 bits) if its values are integers. The tag for 0 = white is ignored: ImageJ and one-bit
    TIFFs set it for binary masks.

    Raises:
        CongealError: the file cannot be read, is a photograph (RGB, JPEG, or gray values that
            change from pixel to pixel), or has fractional values or labels below -1.

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
    pixels = as_whole(_one_channel(raster, path), path)
    if pixels.dtype.kind == "u" and int(pixels.max()) > np.iinfo(np.int64).max:
        raise CongealError(f"expected labels below 2^63, {path} has {int(pixels.max())}")
    labels: LabelMap = pixels.astype(np.int64)
    _check_labels(labels, path)
    return labels


def as_whole(values: Pixels, where: str | Path) -> Pixels:
    """Convert values to integers; floats are accepted if all are integers that the type can hold.

    Raises:
        CongealError: a value is fractional, NaN, infinite, not real, or above the largest exact
            integer of the type (2^24 for float32).

    Example:
        >>> as_whole(np.array([0.0, 70000.0]), "a.tif").tolist()
        [0, 70000]
    """
    if values.dtype.kind in "biu":
        return values
    if values.dtype.kind != "f":
        raise CongealError(f"expected integer labels, {where} has {values.dtype}")
    with np.errstate(invalid="ignore"):
        invalid = values[~((values == np.floor(values)) & np.isfinite(values))]
    if invalid.size:
        raise CongealError(
            f"expected integer labels, {where} has {values.dtype} such as {invalid[0]:g}; "
            "save it as integers"
        )
    max_exact = 2 ** (np.finfo(values.dtype).nmant + 1)
    if values.size and float(np.abs(values).max()) > max_exact:
        raise CongealError(
            f"expected labels up to {max_exact} in {values.dtype}, {where} has "
            f"{float(np.abs(values).max()):g}"
        )
    return values.astype(np.int64)


def _one_channel(raster: Raster, path: str | Path) -> Pixels:
    pixels = _with_channels(raster.pixels)
    colours = [channel for channel in range(pixels.shape[2]) if channel not in raster.alpha]
    first = pixels[..., colours[0]] if colours else pixels[..., 0]
    equal = all(np.array_equal(pixels[..., channel], first) for channel in colours)
    if len(colours) == 1 or (len(colours) == 3 and equal):
        return first
    if len(colours) == 3:
        raise CongealError(
            f"expected a label map with one channel, {path} is a colour image; "
            "save the label of each object as a gray value"
        )
    raise CongealError(
        f"expected a label map with one channel, {path} has {pixels.shape[2]} channels; "
        "save each as a file of its own"
    )


def _check_labels(labels: LabelMap, path: str | Path) -> None:
    lowest = int(labels.min())
    if lowest < -1:
        raise CongealError(f"expected labels of at least 0 (-1 for void), {path} has {lowest}")
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
    """Sort key for natural order: ``cell2`` before ``cell10``.

    Example:
        >>> sorted(["cell10", "cell2", "Cell1"], key=natural_key)
        ['Cell1', 'cell2', 'cell10']
    """
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]
    return [*key, (2, 0, name)]


def image_files(folder: Path) -> list[Path]:
    """List the image files of a folder in natural order, without subfolders and hidden files.

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
    """Expand files, folders and glob patterns to image files, in natural order, without duplicates.

    Explicit file names are kept with any ending, and even if they do not exist, so that a run over
    many files can report the missing one and continue.

    Raises:
        CongealError: the list is empty, or a folder or pattern matches no image.

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
    paths = [path for item in inputs for path in _expand(item)]
    return list(dict.fromkeys(paths))


def _expand(item: str | Path) -> list[Path]:
    path = Path(item)
    if path.is_dir():
        files = image_files(path)
        if not files:
            raise CongealError(f"expected images (PNG, JPEG or TIFF) in {path}, found none")
        return files
    if not path.exists() and has_magic(str(item)):
        matches = [Path(match) for match in glob(_pattern(path), recursive=True)]
        images = [
            match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES
        ]
        if not images:
            raise CongealError(f"expected images that match {quoted(str(item))}, found none")
        return sorted(images, key=lambda image: natural_key(str(image)))
    return [path]


def _pattern(path: Path) -> str:
    """Escape the existing part of a path, since folder names may contain brackets."""
    existing = next((parent for parent in path.parents if parent.is_dir()), Path())
    return str(Path(escape(str(existing))) / path.relative_to(existing))
