"""Decoding of JPEG 2000 at any bit depth; alpha channels as defined in the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from congeal.data.memory import check_memory
from congeal.data.raster import Raster
from congeal.errors import CongealError

__all__ = ["JPEG2000_MAGIC", "decode_jpeg2000"]

JPEG2000_MAGIC = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")

_START = b"\xff\x4f\xff\x51"  # markers SOC and SIZ of ISO/IEC 15444-1, Annex A
_MAX_PIXELS = 2**31
_COPIES = 4  # of the pixels in memory while they are read
_OPACITY = {1, 2}  # Typ of box cdef: opacity, premultiplied opacity


def decode_jpeg2000(path: Path) -> Raster:
    """Read a JPEG 2000 image (ISO/IEC 15444-1): a raw codestream or a JP2 file.

    Raises:
        CongealError: the file is truncated, does not fit in memory, or has no pixels. Other
            exceptions of the decoder are not converted.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "a.jp2"
        >>> Image.new("RGBA", (5, 4)).save(path)
        >>> decode_jpeg2000(path).alpha
        (3,)
    """
    import imagecodecs

    content = path.read_bytes()
    start = content.find(_START)
    if start < 0 or len(content) < start + 42:
        raise CongealError(f"cannot read {path}: the file is truncated or damaged (no image size)")
    right, bottom, left, top = struct.unpack(">4I", content[start + 8 : start + 24])
    (channels,) = struct.unpack(">H", content[start + 40 : start + 42])
    _check_size(path, bottom - top, right - left, channels)
    pixels = np.asarray(imagecodecs.jpeg2k_decode(content))
    # The decoder fills the missing part of a truncated file with zeros instead of failing.
    if not content.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise CongealError(f"cannot read {path}: the file is truncated (no end marker)")
    return Raster(pixels, alpha=_alpha(content[:start]) if pixels.ndim == 3 else ())


def _check_size(path: Path, height: int, width: int, channels: int) -> None:
    if height < 1 or width < 1 or channels < 1:
        raise CongealError(f"cannot read {path}: the image has no pixels ({height} x {width})")
    if height * width > _MAX_PIXELS:
        raise CongealError(f"cannot read {path}: the image is too large; cut it into tiles first")
    need = _COPIES * math.prod((height, width, channels, 4))
    check_memory(need, f"{path} ({height} x {width})")


def _alpha(boxes: bytes) -> tuple[int, ...]:
    """Channels of type opacity in the channel definition box (cdef)."""
    position = boxes.find(b"cdef")
    if position < 0:
        return ()
    (count,) = struct.unpack(">H", boxes[position + 4 : position + 6])
    entries = struct.iter_unpack(">3H", boxes[position + 6 : position + 6 + 6 * count])
    return tuple(sorted(channel for channel, kind, _ in entries if kind in _OPACITY))
