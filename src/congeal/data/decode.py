"""Turning image files into arrays: what is stored, before deciding what it means."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from congeal.data.sample import Pixels
from congeal.errors import CongealError

__all__ = ["Raster", "decode"]

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PLAIN_MODES = {"L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
_MOST_PIXELS = 2**31
_ADVICE = "save every page as its own file first (ImageJ: Stack to Images)"


@dataclass(frozen=True, eq=False)
class Raster:
    """The pixels of a file as stored.

    Attributes:
        pixels: `(H, W)` or `(H, W, C)`, alpha included, palette indices as they are.
        palette: `(n, 3)` uint8 or uint16 colours when the pixels are indices into them.
        lossy: whether the format changes pixel values (JPEG).
        inverted: whether 0 means white (a TIFF habit).
    """

    pixels: Pixels
    palette: Pixels | None = None
    lossy: bool = False
    inverted: bool = False


def decode(path: str | Path) -> Raster:
    """Read the one picture in a PNG, JPEG or TIFF file (whatever Pillow opens works too).

    The format is told by the first bytes, not by the ending. EXIF orientation is applied.

    Raises:
        CongealError: the file is missing, empty, truncated, no image, or has several pages.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.new("RGB", (5, 4)).save(path)
        >>> decode(path).pixels.shape
        (4, 5, 3)
    """
    path = Path(path)
    head = _head(path)
    try:
        if head[:4] in _TIFF_MAGIC:
            return _decode_tiff(path)
        # Pillow would silently cut 16-bit colour down to 8 bit.
        if head.startswith(_PNG_MAGIC) and len(head) > 25 and head[24] == 16 and head[25] & 2:
            return _decode_deep_png(path)
        return _decode_pillow(path)
    except CongealError:
        raise
    except UnidentifiedImageError as error:
        raise CongealError(f"expected an image (PNG, JPEG or TIFF), {path} is none") from error
    except (MemoryError, Image.DecompressionBombError) as error:
        raise _too_large(path) from error
    # Codecs fail in their own ways on broken files; all of them derive from these.
    except (OSError, SyntaxError, RuntimeError, LookupError, ArithmeticError) as error:
        raise _broken(path, error) from error
    except (ValueError, TypeError, EOFError, struct.error, zlib.error) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> CongealError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return CongealError(f"cannot read {path}: the file is truncated or damaged ({reason})")


def _too_large(path: Path) -> CongealError:
    return CongealError(f"cannot read {path}: the image is too large; cut it into tiles first")


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise CongealError(f"expected an image file, {path} is a folder")
    try:
        with path.open("rb") as stream:
            head = stream.read(32)
    except FileNotFoundError as error:
        raise CongealError(f"no such image file: {path}") from error
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise CongealError(f"cannot read {path}: the file is empty (0 bytes)")
    return head


def _decode_pillow(path: Path) -> Raster:
    with warnings.catch_warnings():
        # Large pictures are what people have; Pillow still refuses absurd ones.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            lossy = picture.format in {"JPEG", "MPO"}
            # Phones store a photograph and its depth or preview as two MPO frames.
            if frames > 1 and picture.format != "MPO":
                raise CongealError(f"expected one picture, {path} has {frames} frames; {_ADVICE}")
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            palette = _palette(upright)
            return Raster(_pixels(upright), palette, lossy=lossy)


def _palette(picture: Image.Image) -> Pixels | None:
    if picture.mode != "P":
        return None
    return np.array(picture.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)


def _pixels(picture: Image.Image) -> Pixels:
    if picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode != "P" and picture.mode not in _PLAIN_MODES:
        picture = picture.convert("RGBA" if picture.mode == "PA" else "RGB")
    pixels = np.array(picture)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _decode_deep_png(path: Path) -> Raster:
    import imagecodecs

    return Raster(np.asarray(imagecodecs.png_decode(path.read_bytes())))


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a library's log out of the way: what matters is in the error it ends with."""
    logger, mute = logging.getLogger(name), _Mute()
    logger.addFilter(mute)
    try:
        yield
    finally:
        logger.removeFilter(mute)


class _Mute(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return False


def _decode_tiff(path: Path) -> Raster:
    import tifffile

    with _quiet("tifffile"), tifffile.TiffFile(path) as tiff:
        if not tiff.pages:
            raise CongealError(f"cannot read {path}: the TIFF has no page")
        if len(tiff.series) != 1:
            raise CongealError(f"expected one page, {path} has {len(tiff.pages)}; {_ADVICE}")
        series = tiff.series[0]
        _check_complete(path, series)
        pixels = _plane(path, np.asarray(series.asarray()), str(series.axes))
        page = series.keyframe
        colours = page.colormap if page.photometric == 3 else None
        palette = None if colours is None else np.ascontiguousarray(np.asarray(colours).T)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        return Raster(pixels, palette, inverted=page.photometric == 0)


def _check_complete(path: Path, series: Any) -> None:
    """Refuse a cut-off file: tifffile would fill what is missing with zeros."""
    if series.size > _MOST_PIXELS:
        raise _too_large(path)
    size = path.stat().st_size
    for page in series.pages:
        if page is None:
            raise CongealError(f"cannot read {path}: the file is truncated or damaged (lost page)")
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset + count > size:
                need = f"{offset + count} bytes needed, {size} there"
                raise CongealError(f"cannot read {path}: the file is truncated ({need})")


def _plane(path: Path, pixels: Pixels, axes: str) -> Pixels:
    """Bring a TIFF series to `(H, W)` or `(H, W, C)`; channel axes may come first."""
    keep = [i for i, axis in enumerate(axes) if axis in "YX" or pixels.shape[i] > 1]
    pixels, axes = pixels.reshape([pixels.shape[i] for i in keep]), "".join(axes[i] for i in keep)
    if axes == "YX":
        return pixels
    if axes == "YXS":
        return pixels
    if axes in {"SYX", "CYX"} and pixels.shape[0] <= 4:
        return np.moveaxis(pixels, 0, -1)
    shape = " x ".join(map(str, pixels.shape))
    raise CongealError(f"expected one page, {path} is a stack ({axes} {shape}); {_ADVICE}")
