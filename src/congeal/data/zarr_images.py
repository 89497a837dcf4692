"""Lazy reading of images in Zarr and TIFF, window by window."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from congeal.data.images import as_image
from congeal.data.pixel_size import in_micrometres, read_pixel_size, read_plane_distance
from congeal.data.sample import Pixels
from congeal.errors import CongealError

__all__ = [
    "ZarrImage",
    "is_zarr",
    "open_array",
    "open_zarr_image",
    "open_zarr_planes",
    "parse_plane",
]

DEFAULT_AXES = {2: "yx", 3: "cyx", 4: "zcyx", 5: "tczyx"}  # by number of dimensions
SAMPLED = 1_000_000  # values from which statistics are computed


@dataclass(frozen=True, eq=False)
class ZarrImage:
    """An image `(H, W, C)` that is read window by window.

    Attributes:
        array: the Zarr array.
        axes: one letter per axis, such as ``"czyx"``.
        plane: index along each axis other than y, x and c.
        channels: indices of the channels to read, in this order; None: all.
        pixel_size: micrometres per pixel; None if unknown.
        where: path of the image, for error messages.
        plane_distance: micrometres between planes along z; None if unknown.
    """

    array: Any
    axes: str
    plane: Mapping[str, int] = field(default_factory=dict)
    channels: tuple[int, ...] | None = None
    pixel_size: float | None = None
    where: str = "the array"
    plane_distance: float | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width = (int(self.array.shape[self.axes.index(axis)]) for axis in "yx")
        if self.channels is not None:
            return height, width, len(self.channels)
        return height, width, self.array.shape[self.axes.index("c")] if "c" in self.axes else 1

    def __getitem__(self, window: tuple[slice, slice]) -> Pixels:
        """Read a window, given as slices of rows and columns."""
        index: dict[str, Any] = {"y": window[0], "x": window[1], "c": slice(None), **self.plane}
        part = np.asarray(self.array[tuple(index[axis] for axis in self.axes)])
        kept = [axis for axis in self.axes if axis in "yxc"]
        ordered = part.transpose([kept.index(axis) for axis in "yxc" if axis in kept])
        return np.ascontiguousarray(as_image(ordered, self.where, self.channels))

    def sampled(self) -> Pixels:
        """A regular subsample, of about a million values."""
        height, width, channels = self.shape
        step = max(1, math.ceil(math.sqrt(height * width * channels / SAMPLED)))
        return self[::step, ::step]


def is_zarr(path: str | Path) -> bool:
    """Whether a path is a Zarr group or array, by its suffix or its metadata files.

    Example:
        >>> is_zarr("plate.zarr"), is_zarr("cell.png")
        (True, False)
    """
    marks = ("zarr.json", ".zgroup", ".zarray")
    return Path(path).suffix == ".zarr" or any((Path(path) / mark).is_file() for mark in marks)


def open_zarr_image(
    path: str | Path,
    channels: Sequence[int] | None = None,
    plane: Mapping[str, int] | None = None,
    axes: str | None = None,
) -> ZarrImage:
    """Open an OME-Zarr image at full resolution, a plain Zarr array, or a TIFF.

    Args:
        path: of the image group, the array, or the TIFF.
        channels: indices of the channels to read, from 0, in this order; None: the image has to be
            gray or RGB.
        plane: index along each other axis, such as ``{"t": 0, "z": 4}``; not required for axes of
            length 1.
        axes: of a plain array, one letter each, such as ``"zyx"``; None: yx, cyx, zcyx or tczyx.

    Raises:
        CongealError: the path is not such an image, its axes are unknown, or an index of a plane is
            missing or out of range.

    Example:
        >>> import tempfile, zarr
        >>> path = tempfile.mkdtemp() + "/a.zarr"
        >>> _ = zarr.save_array(path, np.zeros((40, 50), np.uint8))
        >>> open_zarr_image(path).shape
        (40, 50, 1)
    """
    found, own, sizes = open_array(Path(path))
    named = (own if "?" not in own else "") or axes or DEFAULT_AXES.get(found.ndim, "")
    if len(named) != found.ndim or not {"y", "x"} <= set(named) or len({*named}) < len(named):
        raise CongealError(
            f"expected axes with y and x for {path} of shape {found.shape}, got {named!r}; "
            "give them with --axes, such as zyx"
        )
    if 0 in found.shape:
        raise CongealError(f"expected pixels in {path}, its shape is {found.shape}")
    chosen = None if channels is None else tuple(channels)
    planes = _planes(found, named, plane, path)
    return ZarrImage(found, named, planes, chosen, sizes[0], str(path), sizes[1])


def open_zarr_planes(
    path: str | Path,
    channels: Sequence[int] | None = None,
    plane: Mapping[str, int] | None = None,
    axes: str | None = None,
) -> list[ZarrImage]:
    """Open all planes of a volume, along z.

    Args:
        path: as for :func:`open_zarr_image`.
        channels: which to take.
        plane: which index of each axis beside z, y, x and c.
        axes: of a plain array; None: zyx where it has three.

    Raises:
        CongealError: as for :func:`open_zarr_image`, or there is no axis z.

    Example:
        >>> import tempfile, zarr
        >>> path = tempfile.mkdtemp() + "/a.zarr"
        >>> _ = zarr.save_array(path, np.zeros((3, 40, 50), np.uint8))
        >>> [one.shape for one in open_zarr_planes(path)]
        [(40, 50, 1), (40, 50, 1), (40, 50, 1)]
    """
    if plane and "z" in plane:
        raise CongealError("expected axes beside z for --plane (plane=) of a volume, got z")
    if axes is None and open_array(Path(path))[0].ndim == 3:
        axes = "zyx"
    first = open_zarr_image(path, channels, {**(plane or {}), "z": 0}, axes)
    depth = int(first.array.shape[first.axes.index("z")])
    return [replace(first, plane={**first.plane, "z": number}) for number in range(depth)]


Sizes = tuple[float | None, float | None]


def open_array(path: Path, labels: bool = False) -> tuple[Any, str, Sizes]:
    """Open the array of full resolution of a TIFF or of Zarr.

    Args:
        path: of a TIFF, an array, or a group of OME-Zarr.
        labels: take the first label image of a group that has ``labels``.

    Returns:
        The array, its axes as far as they are told, and micrometres of a pixel and of the distance
        of planes.

    Raises:
        CongealError: it is none, or cannot be read.

    Example:
        >>> import tempfile, zarr
        >>> path = tempfile.mkdtemp() + "/a.zarr"
        >>> _ = zarr.save_array(path, np.zeros((40, 50), np.uint8))
        >>> open_array(Path(path))[0].shape
        (40, 50)
    """
    import zarr

    if path.is_dir() and not is_zarr(path):
        raise CongealError(f"expected one Zarr or TIFF, got the folder {path}")
    try:
        if not is_zarr(path):
            return _open_tiff(path)
        found: Any = zarr.open(str(path), mode="r")
    except Exception as error:  # a damaged store may raise any exception
        raise CongealError(f"expected Zarr or TIFF in {path}, cannot read it ({error})") from error
    if labels and not isinstance(found, zarr.Array):
        found = _first_labels(found)
    scales = _multiscales(dict(found.attrs))
    if not isinstance(found, zarr.Array):
        found = _finest(found, scales, path)
    named = _named_axes(scales)
    return found, named, _voxel_size(scales, named)


def _first_labels(group: Any) -> Any:
    """The first label image of a group; the group itself where it has none."""
    if "labels" not in group:
        return group
    told = dict(group["labels"].attrs)
    names = told.get("ome", told).get("labels") or sorted(group["labels"].group_keys())
    return group["labels"][names[0]] if names and names[0] in group["labels"] else group


def _multiscales(attributes: dict[str, Any]) -> list[Any]:
    """The multiscales metadata of OME-Zarr; empty if missing or invalid."""
    metadata = attributes.get("ome", attributes)
    scales = metadata.get("multiscales") if isinstance(metadata, dict) else None
    return scales if isinstance(scales, list) and scales and isinstance(scales[0], dict) else []


def _open_tiff(path: Path) -> tuple[Any, str, Sizes]:
    """A TIFF as an array of Zarr, whose tiles or strips are read when they are asked for."""
    import tifffile
    import zarr

    file = tifffile.TiffFile(path)
    series = file.series[0]
    axes = "".join({"S": "c", "Q": "z", "I": "z"}.get(axis, axis.lower()) for axis in series.axes)
    store: Any = series.aszarr(level=0)
    weakref.finalize(store, file.close)
    return zarr.open(store, mode="r"), axes, (read_pixel_size(path), read_plane_distance(path))


def parse_plane(text: str | None) -> dict[str, int]:
    """Parse the option ``--plane``, such as ``t=0,z=4``.

    Raises:
        CongealError: the text is invalid.

    Example:
        >>> parse_plane("t=0,z=4")
        {'t': 0, 'z': 4}
    """
    plane = {}
    for part in filter(None, (text or "").split(",")):
        axis, _, number = (word.strip() for word in part.partition("="))
        if len(axis) != 1 or not number.isdecimal() or len(number) > 18:
            raise CongealError(f"expected --plane such as t=0,z=4, got {text!r:.80}")
        plane[axis] = int(number)
    return plane


def _finest(group: Any, scales: list[Any], path: str | Path) -> Any:
    """The full-resolution array of a group."""
    try:
        return group[scales[0]["datasets"][0]["path"]]
    except (LookupError, TypeError) as error:
        raise CongealError(
            f"expected an OME-Zarr image (multiscales) or an array in {path}, found a group with "
            f"{', '.join(list(group)[:5]) or 'nothing'}"
        ) from error


def _named_axes(scales: list[Any]) -> str:
    axes = scales[0].get("axes", []) if scales else []
    names = (axis.get("name") if isinstance(axis, dict) else axis for axis in axes)
    return "".join(name if isinstance(name, str) else "?" for name in names)


def _planes(
    array: Any, axes: str, plane: Mapping[str, int] | None, path: str | Path
) -> dict[str, int]:
    plane, chosen = dict(plane or {}), {}
    for axis, length in zip(axes, array.shape, strict=True):
        if axis in "yxc":
            continue
        if axis not in plane and length > 1:
            raise CongealError(
                f"expected an index for the {length} planes along {axis} of {path}: "
                f"--plane {axis}=0 to {axis}={length - 1} (plane= in Python)"
            )
        chosen[axis] = plane.pop(axis, 0)
        if chosen[axis] >= length:
            raise CongealError(
                f"expected a plane {axis} from 0 to {length - 1} of {path}, got {chosen[axis]}"
            )
    if plane:
        raise CongealError(f"expected planes along axes of {axes!r} in {path}, got {plane}")
    return chosen


def _voxel_size(scales: list[Any], axes: str) -> Sizes:
    """Micrometres of a side of a pixel, where pixels are square, and from plane to plane."""
    try:
        steps = scales[0]["datasets"][0]["coordinateTransformations"]
        scale = next(one["scale"] for one in steps if one["type"] == "scale")
        units = [one.get("unit", "") for one in scales[0]["axes"]]
        told = {
            axis: float(side) * in_micrometres(unit)
            for axis, side, unit in zip(axes, scale, units, strict=True)
        }
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration):
        return None, None
    height, width, far = (told.get(axis, 0.0) for axis in "yxz")
    square = abs(height - width) <= 0.01 * max(height, width)
    size = float(f"{width:.6g}") if square and width > 0 else None
    return size, float(f"{far:.6g}") if far > 0 else None
