"""Checks of a TIFF for missing or damaged parts, which tifffile reads as zeros or leaves out."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from congeal.data.memory import check_memory
from congeal.errors import CongealError

__all__ = ["check_all_pages", "check_complete"]

_MAX_PIXELS = 2**31
_COPIES = 3  # of the pixels in memory while they are read
_PACKED = {5, 8, 32773, 32946, 50000}  # of tag Compression: LZW, Deflate, PackBits, Zstandard


def check_all_pages(path: Path, tiff: Any) -> None:
    """Raise an error if the file was cut off between its pages, or between planes of ImageJ.

    Args:
        path: of the file.
        tiff: the open file, with a page.
    """
    size, last = path.stat().st_size, tiff.pages[-1]
    following = _next_page(tiff, last)
    if following >= size:
        found = f"page {len(tiff.pages) + 1} at byte {following}, {size} bytes found"
        raise CongealError(f"cannot read {path}: the file is truncated ({found})")
    planes = int((tiff.imagej_metadata or {}).get("images", 1))
    if planes == 1 or len(tiff.pages) > 1 or not last.dataoffsets:
        return
    # A file of one plane may have kept the description of its stack; nothing follows its pixels.
    end = last.dataoffsets[0] + last.nbytes
    need = end + (planes - 1) * last.nbytes
    if last.compression == 1 and last.offset < end < size < need:
        reason = f"{need} bytes needed, {size} found"
        raise CongealError(f"cannot read {path}: the file is truncated ({reason})")


def _next_page(tiff: Any, page: Any) -> int:
    """Offset of the page that follows; 0 for none. TIFF 6.0, section 2, image file directory."""
    layout, handle = tiff.tiff, tiff.filehandle
    handle.seek(page.offset)
    count = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))[0]
    handle.seek(page.offset + layout.tagnosize + count * layout.tagsize)
    stored = handle.read(layout.offsetsize)
    if len(stored) < layout.offsetsize:
        return 0
    return int(struct.unpack(layout.offsetformat, stored)[0])


def check_complete(path: Path, series: Any, parts: int = 1) -> None:
    """Raise an error for a truncated file, whose missing part tifffile fills with zeros.

    Args:
        path: of the file.
        series: to be read.
        parts: of the series that are read one after another.
    """
    page, held = series.keyframe, series.size // parts
    if series.size < 1 or page.size < 1:
        raise CongealError(f"cannot read {path}: the image has no pixels {tuple(series.shape)}")
    if held > _MAX_PIXELS:
        raise CongealError(f"cannot read {path}: the image is too large; cut it into tiles first")
    shape = " x ".join(map(str, series.shape))
    check_memory(_COPIES * held * page.dtype.itemsize, f"{path} ({shape})")
    size = path.stat().st_size
    if series.dataoffset is not None and (end := series.dataoffset + series.nbytes) > size:
        raise CongealError(
            f"cannot read {path}: the file is truncated ({end} bytes needed, {size} found)"
        )
    for each in series.pages:
        if each is None:
            raise CongealError(
                f"cannot read {path}: the file is truncated or damaged (missing page)"
            )
        offsets, counts = each.dataoffsets, each.databytecounts
        for offset, count in zip(offsets, counts, strict=False):
            if offset + count > size:
                need = f"{offset + count} bytes needed, {size} found"
                raise CongealError(f"cannot read {path}: the file is truncated ({need})")
        if not _is_contiguous(series):
            _check_pieces(path, page, offsets, counts)


def _is_contiguous(series: Any) -> bool:
    """Whether pages are stored contiguously and only the first has tags (large ImageJ stacks)."""
    return series.dataoffset is not None and len(series.pages) != 1


def _check_pieces(path: Path, page: Any, offsets: Any, counts: Any) -> None:
    """Check that the number and lengths of strips or tiles match width and height."""
    kind = "tiles" if page.is_tiled else "strips"
    need = math.prod(page.chunked)
    tag = page.tags.get(324 if page.is_tiled else 273)  # tifffile drops surplus offsets
    stated = len(offsets) if tag is None else int(tag.count)
    found = sum(offset > 0 < count for offset, count in zip(offsets, counts, strict=False))
    if stated != need or found != need:
        found = min(found, stated) if stated < need else stated
        raise CongealError(
            f"cannot read {path}: the file is damaged ({found} {kind}, its size needs {need})"
        )
    if page.compression == 1:
        _check_lengths(path, page, counts, kind)
    rows = page.tags.valueof(278, 0)  # RowsPerStrip; tifffile's attribute is clipped to the height
    if page.compression in _PACKED and kind == "strips" and rows > page.imagelength:
        _check_packed(path, page, offsets, counts)


def _check_lengths(path: Path, page: Any, counts: Any, kind: str) -> None:
    """Check the byte counts of uncompressed strips against their number of rows."""
    row = _row_bytes(page)
    if page.is_tiled or page.is_subsampled or page.imagedepth > 1:
        return  # the decoder itself requires complete tiles
    step = min(page.rowsperstrip, page.imagelength)
    last = page.imagelength - (math.ceil(page.imagelength / step) - 1) * step
    single = len(counts) == (1 if page.planarconfig == 1 else page.samplesperpixel)
    for number, count in enumerate(counts, start=1):
        ends = number % math.ceil(page.imagelength / step) == 0
        rows = last if ends else step
        # The last strip may be padded to the length of the others.
        padded = ends and not single and count == step * row
        if not (rows * row <= count < rows * row + max(row, 4) or padded):
            reason = f"{kind[:-1]} {number} has {count} bytes, its size needs {rows * row}"
            raise CongealError(f"cannot read {path}: the file is damaged ({reason})")


def _check_packed(path: Path, page: Any, offsets: Any, counts: Any) -> None:
    """Raise an error for a strip with more rows than the image, which tifffile would drop."""
    import tifffile

    need = page.imagelength * _row_bytes(page)
    with path.open("rb") as stream:
        for offset, count in zip(offsets, counts, strict=True):
            stream.seek(offset)
            size = len(tifffile.TIFF.DECOMPRESSORS[page.compression](stream.read(count)))
            if size >= need + _row_bytes(page):
                reason = f"{size} bytes of pixels, its size needs {need}"
                raise CongealError(f"cannot read {path}: the file is damaged ({reason})")


def _row_bytes(page: Any) -> int:
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    return int(page.imagewidth * samples * page.bitspersample + 7) // 8
