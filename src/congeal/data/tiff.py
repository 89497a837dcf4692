"""TIFF files: the one picture in them as stored, every tag obeyed or the file refused."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.memory import check_memory
from congeal.data.raster import Raster, turn_upright
from congeal.data.sample import Pixels
from congeal.errors import CongealError

__all__ = ["ADVICE", "count_tiff_pages", "decode_tiff", "decode_tiff_pages", "opened_tiff"]

ADVICE = (
    "take each page as an image by --stack planes (stack= in Python), or save every page as its "
    "own file (ImageJ: Stack to Images)"
)

_MOST_PIXELS = 2**31
_COPIES = 3  # of the pixels that reading them makes

# Values of TIFF 6.0's tag PhotometricInterpretation (262).
_WHITE_IS_ZERO, _PALETTE, _CMYK, _YCBCR = 0, 3, 5, 6
_STORED_AS_SHOWN = {0, 1, 2, 3}
_COLOUR_SPACES = {4: "mask", 5: "CMYK", 6: "YCbCr", 8: "L*a*b*", 9: "L*a*b*", 10: "L*a*b*"}
_COLOUR_SPACES |= {32803: "raw camera", 32844: "LogL", 32845: "LogLuv", 34892: "raw camera"}
_JPEG = {6, 7, 33007, 34892}  # of tag Compression (259); the decoder turns YCbCr into RGB
_PACKED = {5, 8, 32773, 32946, 50000}  # LZW, Deflate, PackBits, Zstandard
_ALPHA = {1, 2}  # of tag ExtraSamples (338): associated and unassociated


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


@contextmanager
def opened_tiff(path: Path) -> Iterator[Any]:
    """Open a TIFF without the files that it names: kinds that read those are plain pages.

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.zeros((4, 5), np.uint16))
        >>> with opened_tiff(path) as tiff:
        ...     len(tiff.pages)
        1
    """
    import tifffile

    alone: dict[str, Any] = {"_multifile": False, "is_mmstack": False, "is_ndtiff": False}
    with _quiet("tifffile"), tifffile.TiffFile(path, **alone) as tiff:
        yield tiff


def decode_tiff(path: Path) -> Raster:
    """Read the one picture of a TIFF: pixels as stored, turned as tag Orientation says.

    Only this file is read, whatever files its OME-XML names. Colour spaces other than gray, RGB
    and palettes are converted (CMYK, YCbCr in JPEG) or refused.

    Raises:
        CongealError: it has several pages, is truncated, too large for the memory, or stored in
            a way that is not understood. Whatever else the decoder raises is left to the caller.

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.zeros((4, 5), np.uint16))
        >>> decode_tiff(path).pixels.dtype
        dtype('uint16')
    """
    with opened_tiff(path) as tiff:
        series, pixels = _read(path, tiff)
        return _raster(series.keyframe, _plane(path, pixels, str(series.axes)))


def decode_tiff_pages(path: Path) -> list[Raster]:
    """Read every plane of a stack as a picture of its own; channels stay together.

    Raises:
        CongealError: as for `decode_tiff`, or the stack has several axes.

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.zeros((7, 4, 5), np.uint16), photometric="minisblack")
        >>> len(decode_tiff_pages(path))
        7
    """
    with opened_tiff(path) as tiff:
        series, pixels = _read(path, tiff)
        axes, stacked = str(series.axes), _stacked(series)
        if len(stacked) > 1:
            told = " and ".join(axes[axis] for axis in stacked)
            raise CongealError(f"expected a stack along one axis, {path} has {told}; split it")
        if not stacked:
            return [_raster(series.keyframe, _plane(path, pixels, axes))]
        rest = axes[: stacked[0]] + axes[stacked[0] + 1 :]
        planes = np.moveaxis(pixels, stacked[0], 0)
        return [_raster(series.keyframe, _plane(path, plane, rest)) for plane in planes]


def count_tiff_pages(path: Path) -> int:
    """Count the planes that `decode_tiff_pages` gives, from the tags alone.

    Raises:
        CongealError: the TIFF has no page, or pages that differ.

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.zeros((4, 5), np.uint16))
        >>> count_tiff_pages(path)
        1
    """
    with opened_tiff(path) as tiff:
        series = _series(path, tiff)
        return math.prod(series.shape[axis] for axis in _stacked(series))


def _read(path: Path, tiff: Any) -> tuple[Any, Pixels]:
    """Read all pixels of the one series of pages, after every check."""
    series = _series(path, tiff)
    _check_complete(path, series)
    _check_colours(path, series.keyframe)
    pixels: Pixels = np.asarray(series.asarray())
    return series, pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _stacked(series: Any) -> list[int]:
    """Give the axes that are neither rows, columns nor channels."""
    sizes = enumerate(zip(str(series.axes), series.shape, strict=True))
    return [place for place, (axis, size) in sizes if axis not in "YXSC" and size > 1]


def _series(path: Path, tiff: Any) -> Any:
    """Choose what to read: of an OME-TIFF with one page that page, whatever its XML tells."""
    if not tiff.pages:
        raise CongealError(f"cannot read {path}: the TIFF has no page")
    if len(tiff.pages) == 1 and tiff.is_ome:
        page = tiff.pages.first
        import tifffile

        return tifffile.TiffPageSeries([page], page.shape, page.dtype, page.axes)
    if len(tiff.series) != 1:
        raise CongealError(
            f"expected pages of the same size and type, {path} has {len(tiff.pages)} that differ; "
            "save every page as a file of its own (ImageJ: Stack to Images)"
        )
    series = tiff.series[0]
    if any(page is not None and page.parent is not tiff for page in series.pages):
        raise CongealError(f"expected one page, {path} is one of several files; {ADVICE}")
    return series


def _check_complete(path: Path, series: Any) -> None:
    """Refuse a cut-off file: tifffile would fill what is missing with zeros."""
    page = series.keyframe
    if series.size < 1 or page.size < 1:
        raise CongealError(f"cannot read {path}: the image has no pixel {tuple(series.shape)}")
    if series.size > _MOST_PIXELS:
        raise CongealError(f"cannot read {path}: the image is too large; cut it into tiles first")
    shape = " x ".join(map(str, series.shape))
    check_memory(_COPIES * series.size * page.dtype.itemsize, f"{path} ({shape})")
    size = path.stat().st_size
    for each in series.pages:
        if each is None:
            raise CongealError(f"cannot read {path}: the file is truncated or damaged (lost page)")
        offsets, counts = each.dataoffsets, each.databytecounts
        for offset, count in zip(offsets, counts, strict=False):
            if offset + count > size:
                need = f"{offset + count} bytes needed, {size} there"
                raise CongealError(f"cannot read {path}: the file is truncated ({need})")
        if not _is_contiguous(series):
            _check_pieces(path, page, offsets, counts)


def _is_contiguous(series: Any) -> bool:
    """Whether all pages lie behind the first, which alone is described (ImageJ's large stacks)."""
    return series.dataoffset is not None and len(series.pages) != 1


def _check_pieces(path: Path, page: Any, offsets: Any, counts: Any) -> None:
    """Demand the strips or tiles that width and height need: all, none empty, none too short."""
    kind = "tiles" if page.is_tiled else "strips"
    need = math.prod(page.chunked)
    tag = page.tags.get(324 if page.is_tiled else 273)  # tifffile drops those it does not need
    told = len(offsets) if tag is None else int(tag.count)
    there = sum(offset > 0 < count for offset, count in zip(offsets, counts, strict=False))
    if told != need or there != need:
        there = min(there, told) if told < need else told
        raise CongealError(
            f"cannot read {path}: the file is damaged ({there} {kind}, its size needs {need})"
        )
    if page.compression == 1:
        _check_lengths(path, page, counts, kind)
    rows = page.tags.valueof(278, 0)  # RowsPerStrip; tifffile gives no more than there are
    if page.compression in _PACKED and kind == "strips" and rows > page.imagelength:
        _check_packed(path, page, offsets, counts)


def _check_lengths(path: Path, page: Any, counts: Any, kind: str) -> None:
    """Compare the bytes of pieces that are not compressed with the rows they hold."""
    row = _row_bytes(page)
    if page.is_tiled or page.is_subsampled or page.imagedepth > 1:
        return  # the decoder demands whole tiles
    step = min(page.rowsperstrip, page.imagelength)
    last = page.imagelength - (math.ceil(page.imagelength / step) - 1) * step
    single = len(counts) == (1 if page.planarconfig == 1 else page.samplesperpixel)
    for number, count in enumerate(counts, start=1):
        ends = number % math.ceil(page.imagelength / step) == 0
        rows = last if ends else step
        # The last strip may be filled up to the length of the others.
        filled = ends and not single and count == step * row
        if not (rows * row <= count < rows * row + max(row, 4) or filled):
            told = f"{kind[:-1]} {number} has {count} bytes, its size needs {rows * row}"
            raise CongealError(f"cannot read {path}: the file is damaged ({told})")


def _check_packed(path: Path, page: Any, offsets: Any, counts: Any) -> None:
    """Refuse a single strip with more rows than the height tells: tifffile would drop them."""
    import tifffile

    need = page.imagelength * _row_bytes(page)
    with path.open("rb") as stream:
        for offset, count in zip(offsets, counts, strict=True):
            stream.seek(offset)
            there = len(tifffile.TIFF.DECOMPRESSORS[page.compression](stream.read(count)))
            if there >= need + _row_bytes(page):
                told = f"{there} bytes of pixels, its size needs {need}"
                raise CongealError(f"cannot read {path}: the file is damaged ({told})")


def _row_bytes(page: Any) -> int:
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    return int(page.imagewidth * samples * page.bitspersample + 7) // 8


def _check_colours(path: Path, page: Any) -> None:
    kind = int(page.photometric)
    if kind == _YCBCR and page.compression in _JPEG:
        return
    if kind == _CMYK and page.compression not in _JPEG and _is_plain_cmyk(page):
        return
    if kind not in _STORED_AS_SHOWN:
        name = _COLOUR_SPACES.get(kind, f"photometric interpretation {kind}")
        raise CongealError(f"expected gray or RGB values, {path} holds {name}; save it as RGB")
    if kind == _PALETTE and page.colormap is None:
        raise CongealError(f"cannot read {path}: the file is damaged (no palette)")


def _is_plain_cmyk(page: Any) -> bool:
    inks = page.tags.valueof(332, 1)  # InkSet: 1 is cyan, magenta, yellow, black
    return bool(page.samplesperpixel == 4 and page.dtype == np.uint8 and inks == 1)


def _plane(path: Path, pixels: Pixels, axes: str) -> Pixels:
    """Bring a TIFF series to `(H, W)` or `(H, W, C)`; channel axes may come first."""
    keep = [i for i, axis in enumerate(axes) if axis in "YX" or pixels.shape[i] > 1]
    pixels, axes = pixels.reshape([pixels.shape[i] for i in keep]), "".join(axes[i] for i in keep)
    if axes in {"YX", "YXS", "YXC"}:
        return pixels
    if axes in {"SYX", "CYX"}:
        return np.moveaxis(pixels, 0, -1)
    shape = " x ".join(map(str, pixels.shape))
    raise CongealError(f"expected one page, {path} is a stack ({axes} {shape}); {ADVICE}")


def _raster(page: Any, pixels: Pixels) -> Raster:
    kind, palette, alpha = int(page.photometric), None, tuple[int, ...]()
    if pixels.ndim == 3 and pixels.shape[2] == page.samplesperpixel:
        first = page.samplesperpixel - len(page.extrasamples)
        extra = enumerate(map(int, page.extrasamples), start=first)
        alpha = tuple(channel for channel, what in extra if what in _ALPHA)
    if kind == _PALETTE:
        palette = np.ascontiguousarray(np.asarray(page.colormap).T)
    if kind == _CMYK:
        from PIL import Image

        pixels = np.array(Image.fromarray(np.ascontiguousarray(pixels), "CMYK").convert("RGB"))
    return Raster(
        turn_upright(pixels, page.tags.valueof(274, 1)),
        palette,
        lossy=page.compression in _JPEG,
        # The tag is required; a file without it says nothing about white.
        inverted=kind == _WHITE_IS_ZERO and 262 in page.tags,
        alpha=alpha,
    )
