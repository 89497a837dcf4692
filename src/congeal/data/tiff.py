"""Decoding of TIFF files: images and stacks as stored; unsupported tags are an error."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.on_demand import OnDemand
from congeal.data.raster import Raster, apply_orientation
from congeal.data.sample import Pixels
from congeal.data.tiff_checks import check_all_pages, check_complete
from congeal.errors import CongealError

__all__ = ["ADVICE", "count_tiff_pages", "decode_tiff", "decode_tiff_pages", "opened_tiff"]

ADVICE = (
    "read each page as an image with --stack planes (stack= in Python), or save every page as a "
    "file of its own (ImageJ: Stack to Images)"
)

# Values of TIFF 6.0's tag PhotometricInterpretation (262).
_WHITE_IS_ZERO, _PALETTE, _CMYK, _YCBCR = 0, 3, 5, 6
_STORED_AS_SHOWN = {0, 1, 2, 3}
_COLOUR_SPACES = {4: "mask", 5: "CMYK", 6: "YCbCr", 8: "L*a*b*", 9: "L*a*b*", 10: "L*a*b*"}
_COLOUR_SPACES |= {32803: "raw camera", 32844: "LogL", 32845: "LogLuv", 34892: "raw camera"}
_JPEG = {6, 7, 33007, 34892}  # of tag Compression (259); the decoder turns YCbCr into RGB
_ALPHA = {1, 2}  # of tag ExtraSamples (338): associated and unassociated


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence the log of a library; its exceptions contain the relevant messages."""
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
    """Open a TIFF as a single file, ignoring references to other files (OME, Micro-Manager).

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.zeros((4, 5), np.uint16))
        >>> with opened_tiff(path) as tiff:
        ...     len(tiff.pages)
        1
    """
    with _quiet("tifffile"), _open(path) as tiff:
        yield tiff


def _open(path: Path) -> Any:
    import tifffile

    single_file: dict[str, Any] = {"_multifile": False, "is_mmstack": False, "is_ndtiff": False}
    return tifffile.TiffFile(path, **single_file)


def decode_tiff(path: Path) -> Raster:
    """Read a single-image TIFF: pixels as stored, with the orientation tag applied.

    Other files named in OME-XML are not read. CMYK and YCbCr (in JPEG) are converted to RGB; other
    colour spaces than gray, RGB and palettes are an error.

    Raises:
        CongealError: the file has several pages, is truncated, does not fit in memory, or uses an
            unsupported format. Other exceptions of the decoder are not converted.

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


def decode_tiff_pages(path: Path) -> Sequence[Raster]:
    """Read every plane of a stack as an image; channels belong to the same image.

    Only the tags are read at first, and each plane when it is asked for, if planes are stored one
    by one. The file stays open as long as the sequence is there.

    Raises:
        CongealError: as for `decode_tiff`, or the stack has more than one stack axis.

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.zeros((7, 4, 5), np.uint16), photometric="minisblack")
        >>> planes = decode_tiff_pages(path)
        >>> len(planes), planes[6].pixels.shape
        (7, (4, 5))
    """
    with _quiet("tifffile"):
        tiff = _open(path)
        try:
            planes = _planes(path, tiff)
        except BaseException:
            tiff.close()
            raise
    weakref.finalize(planes, tiff.close)
    return planes


def _planes(path: Path, tiff: Any) -> OnDemand[Raster]:
    """The planes of an open file, after all checks."""
    series = _series(path, tiff)
    axes, stacked = str(series.axes), _stacked(series)
    if len(stacked) > 1:
        raise _several_axes(path, [axes[axis] for axis in stacked])
    if not stacked:
        series, pixels = _read(path, tiff)
        return OnDemand(1, lambda _: _raster(series.keyframe, _plane(path, pixels, axes)))
    axis = stacked[0]
    read = _plane_reader(series, axis)
    if read is None:
        whole = _read(path, tiff)[1]
        read = partial(whole.take, axis=axis)
    else:
        check_complete(path, series, series.shape[axis])
        _check_colours(path, series.keyframe)
    return OnDemand(int(series.shape[axis]), partial(_read_plane, path, series, axis, read))


def _read_plane(
    path: Path, series: Any, axis: int, read: Callable[[int], Pixels], number: int
) -> Raster:
    with _quiet("tifffile"):
        found = read(number)
    found = found.astype(found.dtype.newbyteorder("="), copy=False)
    axes = str(series.axes)
    return _raster(series.keyframe, _plane(path, found, axes[:axis] + axes[axis + 1 :]))


def _plane_reader(series: Any, axis: int) -> Callable[[int], Pixels] | None:
    """Reads the pixels at one position along an axis; None where only all can be read."""
    shape = tuple(series.shape)
    rest = (*shape[:axis], *shape[axis + 1 :])
    if series.transform is not None:
        return None
    if series.dataoffset is not None:
        return lambda number: _read_pieces(series, axis, number).reshape(rest)
    inside = (k for k in range(len(shape)) if math.prod(shape[k:]) == series.keyframe.size)
    first = next(inside, 0)  # axis of a page; those before it count pages
    if axis >= first or len(series) != math.prod(shape[:first]):
        return None
    numbers = np.arange(len(series)).reshape(shape[:first])

    def read(number: int) -> Pixels:
        pages = [series[int(page)] for page in numbers.take(number, axis).ravel()]
        return np.stack([page.asarray() for page in pages]).reshape(rest)

    return read


def _read_pieces(series: Any, axis: int, number: int) -> Pixels:
    """The values at one position along an axis of a series without gaps in the file."""
    length = math.prod(series.shape[axis + 1 :])
    kind = series.parent.byteorder + series.dtype.char
    starts = (
        (outer * series.shape[axis] + number) * length
        for outer in range(math.prod(series.shape[:axis]))
    )
    read = series.parent.filehandle.read_array
    places = (series.dataoffset + start * series.dtype.itemsize for start in starts)
    return np.stack([read(kind, length, place) for place in places])


def count_tiff_pages(path: Path) -> int:
    """Number of planes that `decode_tiff_pages` returns, from the tags alone; 1 if it refuses.

    Raises:
        CongealError: the TIFF has no pages, or pages of different size or type.

    Example:
        >>> import tempfile, tifffile
        >>> path = Path(tempfile.mkdtemp()) / "a.tif"
        >>> tifffile.imwrite(path, np.zeros((4, 5), np.uint16))
        >>> count_tiff_pages(path)
        1
    """
    with opened_tiff(path) as tiff:
        series = _series(path, tiff)
        stacked = _stacked(series)
        return int(series.shape[stacked[0]]) if len(stacked) == 1 else 1


def _read(path: Path, tiff: Any) -> tuple[Any, Pixels]:
    """Read all pixels of the series of pages, after all checks."""
    series = _series(path, tiff)
    check_complete(path, series)
    _check_colours(path, series.keyframe)
    pixels: Pixels = np.asarray(series.asarray())
    return series, pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _stacked(series: Any) -> list[int]:
    """Positions of the axes other than rows, columns and channels."""
    sizes = enumerate(zip(str(series.axes), series.shape, strict=True))
    return [position for position, (axis, size) in sizes if axis not in "YXSC" and size > 1]


def _series(path: Path, tiff: Any) -> Any:
    """The series to read; of a single-page OME-TIFF that page, since its XML may differ."""
    if not tiff.pages:
        raise CongealError(f"cannot read {path}: the TIFF has no pages")
    check_all_pages(path, tiff)
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
        raise CongealError(f"expected one page, {path} is part of a multi-file series; {ADVICE}")
    return series


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
    """Arrange pixels as `(H, W)` or `(H, W, C)`; channel axes may come first."""
    keep = [i for i, axis in enumerate(axes) if axis in "YX" or pixels.shape[i] > 1]
    pixels, axes = pixels.reshape([pixels.shape[i] for i in keep]), "".join(axes[i] for i in keep)
    if axes in {"YX", "YXS", "YXC"}:
        return pixels
    if axes in {"SYX", "CYX"}:
        return np.moveaxis(pixels, 0, -1)
    shape = " x ".join(map(str, pixels.shape))
    if len(stacked := [axis for axis in axes if axis not in "YXSC"]) > 1:
        raise _several_axes(path, stacked)
    raise CongealError(f"expected one page, {path} is a stack ({axes} {shape}); {ADVICE}")


def _several_axes(path: Path, axes: Sequence[str]) -> CongealError:
    names = " and ".join(axes)
    return CongealError(f"expected a stack along one axis, {path} has {names}; split it")


def _raster(page: Any, pixels: Pixels) -> Raster:
    kind, palette, alpha = int(page.photometric), None, tuple[int, ...]()
    if pixels.ndim == 3 and pixels.shape[2] == page.samplesperpixel:
        first = page.samplesperpixel - len(page.extrasamples)
        extra = enumerate(map(int, page.extrasamples), start=first)
        alpha = tuple(channel for channel, kind_of_sample in extra if kind_of_sample in _ALPHA)
    if kind == _PALETTE:
        palette = np.ascontiguousarray(np.asarray(page.colormap).T)
    if kind == _CMYK:
        from PIL import Image

        pixels = np.array(Image.fromarray(np.ascontiguousarray(pixels), "CMYK").convert("RGB"))
    return Raster(
        apply_orientation(pixels, page.tags.valueof(274, 1)),
        palette,
        lossy=page.compression in _JPEG,
        # Without this required tag, tifffile's default of 0 (WhiteIsZero) means nothing.
        inverted=kind == _WHITE_IS_ZERO and 262 in page.tags,
        alpha=alpha,
    )
