"""Decoding of image files to arrays of stored values, not yet interpreted as image or labels."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from congeal.data.jpeg2000 import JPEG2000_MAGIC, decode_jpeg2000
from congeal.data.memory import check_memory
from congeal.data.on_demand import OnDemand
from congeal.data.raster import Raster, apply_orientation
from congeal.data.sample import Pixels
from congeal.data.tiff import count_tiff_pages, decode_tiff, decode_tiff_pages
from congeal.errors import CongealError

__all__ = ["count_pages", "decode", "decode_pages"]

# Formats opened by Pillow. Its other formats are excluded; PostScript, for one, runs a program.
# TIFF and JPEG 2000 are read by libraries that preserve the bit depth.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PLAIN_MODES = {"L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
_ORIENTATION = 0x0112
_COPIES = 4  # of the pixels in memory while they are read
_HEAD_LENGTH = 2**16  # bytes read to recognise formats; contains the headers


def decode(path: str | Path) -> Raster:
    """Read a single-image PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000 or PNM file.

    The format is detected from the first bytes, not from the file name. The orientation tag of TIFF
    or EXIF is applied. Values are returned as stored, at any bit depth.

    Raises:
        CongealError: the file is missing, empty, truncated, not an image, has several pages, or
            does not fit in memory.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.new("RGB", (5, 4)).save(path)
        >>> decode(path).pixels.shape
        (4, 5, 3)
    """
    return _checked(Path(path))


def decode_pages(path: str | Path) -> Sequence[Raster]:
    """Read every page of a TIFF stack as an image, when it is asked for; others have one image.

    Raises:
        CongealError: as for `decode`, or the stack has more than one stack axis.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.new("RGB", (5, 4)).save(path)
        >>> len(decode_pages(path))
        1
    """
    path = Path(path)
    head = _head(path)
    if head[:4] not in _TIFF_MAGIC:
        return [_checked(path)]
    with _explained(path):
        planes = decode_tiff_pages(path)

    def read(number: int) -> Raster:
        with _explained(path):
            return _with_pixels(path, planes[number])

    return OnDemand(len(planes), read)


def count_pages(path: str | Path) -> int:
    """Number of images that `decode_pages` returns; 1 for a file that cannot be read.

    Example:
        >>> count_pages("nowhere.tif")
        1
    """
    try:
        is_tiff = _head(Path(path))[:4] in _TIFF_MAGIC
        return count_tiff_pages(Path(path)) if is_tiff else 1
    # Reading the file raises a precise error later.
    except Exception:
        return 1


def _checked(path: Path) -> Raster:
    """Read, and convert every exception to a CongealError."""
    head = _head(path)
    with _explained(path):
        return _with_pixels(path, _decode(path, head))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Convert every exception of a decoder to a CongealError."""
    try:
        yield
    except CongealError:
        raise
    except UnidentifiedImageError as error:
        raise CongealError(f"expected an image (PNG, JPEG or TIFF), {path} is not") from error
    except (MemoryError, Image.DecompressionBombError) as error:
        raise _too_large(path) from error
    # Decoders of damaged files raise any exception, such as AssertionError or KeyError.
    except Exception as error:
        raise _damaged(path, error) from error


def _with_pixels(path: Path, raster: Raster) -> Raster:
    if not raster.pixels.size:
        raise CongealError(f"cannot read {path}: the image has no pixels")
    return raster


def _decode(path: Path, head: bytes) -> Raster:
    if head[:4] in _TIFF_MAGIC:
        return decode_tiff(path)
    if head.startswith(JPEG2000_MAGIC):
        return decode_jpeg2000(path)
    return _decode_pillow(path, head)


def _damaged(path: Path, error: Exception) -> CongealError:
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    return CongealError(f"cannot read {path}: the file is truncated or damaged ({reason})")


def _too_large(path: Path) -> CongealError:
    return CongealError(f"cannot read {path}: the image is too large; cut it into tiles first")


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise CongealError(f"expected an image file, {path} is a folder")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_LENGTH)
    except FileNotFoundError as error:
        raise CongealError(f"no such image file: {path}") from error
    except OSError as error:
        raise CongealError(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise CongealError(f"cannot read {path}: the file is empty (0 bytes)")
    return head


def _decode_pillow(path: Path, head: bytes) -> Raster:
    with warnings.catch_warnings():
        # Large images are common, so no warning; Pillow still refuses decompression bombs.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as picture:
            _check_picture(path, picture)
            orientation = picture.getexif().get(_ORIENTATION, 1)
            lossy, palette = picture.format in {"JPEG", "MPO"}, None
            if _is_deep_png(head):
                pixels = _deep_png(path)
            else:
                picture.load()
                palette = _palette(picture)
                pixels = _stored(_pixels(picture), head)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    # In these formats the second or fourth channel is alpha by definition.
    alpha = (channels - 1,) if channels in (2, 4) else ()
    return Raster(apply_orientation(pixels, orientation), palette, lossy=lossy, alpha=alpha)


def _check_picture(path: Path, picture: Image.Image) -> None:
    """Check the header: one frame, at least one pixel, and enough memory."""
    frames = getattr(picture, "n_frames", 1)
    # MPO files of phones hold a depth map or preview as second frame: read the first.
    if frames > 1 and picture.format != "MPO":
        raise CongealError(
            f"expected one image, {path} has {frames} frames; save each as a file of its own"
        )
    width, height = picture.size
    if width < 1 or height < 1:
        raise CongealError(f"cannot read {path}: the image has no pixels ({height} x {width})")
    values = 8 if picture.mode.startswith(("I", "F")) else 4
    check_memory(_COPIES * math.prod(picture.size) * values, f"{path} ({height} x {width})")


def _palette(picture: Image.Image) -> Pixels | None:
    if picture.mode != "P":
        return None
    return np.array(picture.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)


def _pixels(picture: Image.Image) -> Pixels:
    if picture.mode not in {"1", "P"} and picture.mode not in _PLAIN_MODES:
        picture = picture.convert("RGBA" if picture.mode == "PA" else "RGB")
    pixels = np.array(picture)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _stored(pixels: Pixels, head: bytes) -> Pixels:
    """Undo Pillow's scaling of gray PNG (2, 4 bits) and PNM values to the full 8 or 16 bits."""
    if pixels.dtype == np.bool_:
        return pixels
    if head.startswith(_PNG_MAGIC) and head[25] == 0 and head[24] in (2, 4):
        return pixels // np.uint8(255 // (2 ** head[24] - 1))
    if head[:1] == b"P" and head[1:2] in b"2356":
        return _unscaled(pixels, head)
    return pixels


def _unscaled(pixels: Pixels, head: bytes) -> Pixels:
    """Scale the values of a PNM from 255 (65535) back to the maximum stated in its header."""
    words = re.sub(rb"#[^\r\n]*", b" ", head).split(None, 4)
    stated_max = int(words[3])
    full = 255 if pixels.dtype == np.uint8 else 65535
    if stated_max < full:
        pixels = np.rint(pixels.astype(np.float64) * (stated_max / full))
    return pixels.astype(np.uint8 if stated_max < 256 else np.uint16)


def _is_deep_png(head: bytes) -> bool:
    """Whether a file is a 16-bit PNG with colour or alpha, which Pillow reduces to 8 bits."""
    return (
        head.startswith(_PNG_MAGIC) and len(head) > 25 and head[24] == 16 and head[25] in (2, 4, 6)
    )


def _deep_png(path: Path) -> Pixels:
    import imagecodecs

    return np.asarray(imagecodecs.png_decode(path.read_bytes()))
