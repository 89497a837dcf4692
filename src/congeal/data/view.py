"""Crops with scale, rotation and flip, by a single resampling of the required pixels.

All kinds of maps are sampled at the same positions: images bilinearly, label maps by nearest
neighbour, boundaries by the maximum over the covered pixels, and locations bilinearly with
replicated borders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision import tv_tensors

from congeal.labels import VOID

__all__ = [
    "BoundaryMap",
    "LocationMap",
    "View",
    "pixel_locations",
    "view_boundaries",
    "view_image",
    "view_labels",
    "view_locations",
    "view_map",
]


class BoundaryMap(tv_tensors.Mask):  # type: ignore[misc]  # torchvision has no types
    """Boundary strengths ``(H, W)`` in [0, 1], -1 void; a mask for torchvision's transforms."""


class LocationMap(tv_tensors.Mask):  # type: ignore[misc]
    """Locations ``(2, H, W)`` of :func:`pixel_locations`; a mask for torchvision's transforms."""


def pixel_locations(height: int, width: int) -> Tensor:
    """Pixel centres in relative coordinates, y / height and x / width.

    Returns:
        Float32 ``(2, height, width)``, y then x, in [0, 1).

    Example:
        >>> pixel_locations(1, 4)[1].tolist()
        [[0.125, 0.375, 0.625, 0.875]]
    """
    y, x = ((torch.arange(length) + 0.5) / length for length in (height, width))
    return torch.stack([y[:, None].expand(height, width), x.expand(height, width)])


@dataclass(frozen=True)
class View:
    """Position, size, scale, rotation and flip of a crop of an image.

    Args:
        centre: y and x of its centre on the image; (0, 0) is the outer corner of the first pixel.
        size: height and width of the crop in its own pixels.
        scale: scale factor; 2 shows everything twice as large.
        angle: clockwise rotation of the content in degrees.
        mirror: whether to flip vertically, and whether to flip horizontally.

    Example:
        >>> labels = torch.arange(6).reshape(2, 3)
        >>> view_labels(labels, View(centre=(1.0, 2.0), size=(2, 2), mirror=(False, True)))
        tensor([[2, 1],
                [5, 4]])
    """

    centre: tuple[float, float]
    size: tuple[int, int]
    scale: float = 1.0
    angle: float = 0.0
    mirror: tuple[bool, bool] = (False, False)

    @property
    def upright(self) -> bool:
        """Whether the crop is not scaled or rotated, so that no interpolation is needed."""
        return self.scale == 1.0 and self.angle == 0.0

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width, in image pixels, of the bounding box of the crop on the image.

        Example:
            >>> View((0.0, 0.0), (10, 30), scale=2.0, angle=90.0).extent
            (15.0, 5.0)
        """
        angle = math.radians(self.angle)
        cos, sin = (abs(round(f(angle), 12)) for f in (math.cos, math.sin))
        height, width = self.size
        return (
            (cos * height + sin * width) / self.scale,
            (sin * height + cos * width) / self.scale,
        )

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of an image of this size that the crop needs; may be empty."""
        rows, columns = (
            slice(
                min(max(math.floor(middle - extent / 2) - 1, 0), length),
                min(max(math.ceil(middle + extent / 2) + 1, 0), length),
            )
            for middle, extent, length in zip(
                self.centre, self.extent, (height, width), strict=True
            )
        )
        return rows, columns

    def corner(self) -> tuple[int, int]:
        """Row and column of the image at the top left of an upright crop; may be negative."""
        (y, x), (height, width) = self.centre, self.size
        return math.floor(y - height / 2 + 0.5), math.floor(x - width / 2 + 0.5)

    def positions(self, top: int = 0, left: int = 0) -> Tensor:
        """Sampling positions on the image: the centre of each pixel of the crop.

        Args:
            top: row of the image with coordinate 0.
            left: column of the image with coordinate 0.

        Returns:
            ``(2, height, width)``, x then y; 0 is the centre of the first pixel.
        """
        angle = math.radians(self.angle)
        cos, sin = math.cos(angle) / self.scale, math.sin(angle) / self.scale
        down, across = (
            (torch.arange(length) - (length - 1) / 2) * (-1 if mirrored else 1)
            for length, mirrored in zip(self.size, self.mirror, strict=True)
        )
        positions = torch.empty(2, *self.size)
        y, x = self.centre[0] - top - 0.5, self.centre[1] - left - 0.5
        torch.add((sin * down + x)[:, None], (cos * across)[None], out=positions[0])
        torch.add((cos * down + y)[:, None], (-sin * across)[None], out=positions[1])
        return positions


def view_image(image: Tensor, view: View, fill: float = 0.0) -> Tensor:
    """Crop an image by bilinear interpolation, with ``fill`` outside.

    At scales of 1/2 and below the image is first averaged over blocks of floor(1 / scale) pixels,
    against aliasing.

    Args:
        image: ``(C, H, W)`` of any real type.
        view: the crop.
        fill: value outside the image.

    Returns:
        Float32 ``(C, *view.size)``, which shares no memory with ``image``.

    Example:
        >>> view_image(torch.tensor([[[0, 1]]]), View((0.5, 1.0), (1, 2), scale=2.0))
        tensor([[[0.2500, 0.7500]]])
    """
    if len(image) > 1 and image.stride(0) == 0:  # an expanded gray channel
        return view_image(image[:1], view, fill).expand(len(image), -1, -1).contiguous()
    if view.upright:
        return _crop_upright(image, view, fill, torch.float32)
    block = max(math.floor(1 / view.scale), 1)
    rows, columns = (
        slice(part.start, part.start + math.ceil((part.stop - part.start) / block) * block)
        for part in view.box(*image.shape[-2:])
    )  # rounded up to whole blocks, except at the image border
    window = image[:, rows, columns].float()
    if 0 in window.shape:
        return torch.full((len(image), *view.size), fill)
    at = view.positions(rows.start, columns.start)  # (2, h, w)
    if block > 1:
        pool = torch.nn.functional.avg_pool2d
        window = pool(window, block, ceil_mode=True, count_include_pad=False)
        at.add_(0.5).div_(block).sub_(0.5)
    return _interpolate(window - fill, at).add_(fill) if fill else _interpolate(window, at)


def _interpolate(plane: Tensor, at: Tensor, padding: str = "zeros") -> Tensor:
    """Sample ``(C, H, W)`` bilinearly at ``(2, h, w)``, with zero or border padding."""
    for axis, length in enumerate((plane.shape[-1], plane.shape[-2])):
        at[axis].add_(0.5).mul_(2 / length).sub_(1)  # from -1, the outer edge, to 1
    grid = at.permute(1, 2, 0)[None]  # (1, h, w, 2); a strided view, without a copy
    sampled: Tensor = torch.nn.functional.grid_sample(
        plane[None], grid, mode="bilinear", padding_mode=padding, align_corners=False
    )
    return sampled[0]


def view_labels(labels: Tensor, view: View, void: int = -1) -> Tensor:
    """Crop a label map by nearest neighbour, with ``void`` outside.

    Labels are indexed, not interpolated, so that large integers stay exact.

    Args:
        labels: ``(*, H, W)`` of an integer type.
        view: the crop.
        void: label outside the map.

    Returns:
        Int64 ``(*, *view.size)``.

    Example:
        >>> view_labels(torch.tensor([[7]]), View((0.5, 0.5), (1, 4), scale=2.0))
        tensor([[-1,  7,  7, -1]])
    """
    if view.upright:
        return _crop_upright(labels, view, void, torch.int64)
    rows, columns = view.box(*labels.shape[-2:])
    window = labels[..., rows, columns]
    if 0 in window.shape:
        return torch.full((*labels.shape[:-2], *view.size), void)
    x, y = view.positions(rows.start, columns.start).add_(0.5).floor_()
    height, width = window.shape[-2:]
    empty = _outside(x, width) | _outside(y, height)  # (h, w), or a scalar False
    return _pick(window, y, x, empty).long().masked_fill_(empty, void)


def _pick(plane: Tensor, y: Tensor, x: Tensor, empty: Tensor) -> Tensor:
    """Index ``(*, H, W)`` at rows and columns ``(h, w)``; arbitrary values where ``empty``."""
    flat = (y.long() * plane.shape[-1]).add_(x.long()).masked_fill_(empty, 0)
    picked = plane.reshape(*plane.shape[:-2], -1).index_select(-1, flat.reshape(-1))
    return picked.reshape(*plane.shape[:-2], *y.shape)


def view_boundaries(boundaries: Tensor, view: View) -> Tensor:
    """Crop a boundary map: the maximum over the pixels that each pixel of the crop covers.

    Boundaries are one pixel wide: nearest neighbour would miss parts, and a mean would weaken them.
    The maximum is taken over the axis-aligned box around the rotated pixel, so that every boundary
    pixel within the crop marks at least one of its pixels; a rotated line may become two pixels
    wide. A pixel is void if the nearest pixel of the map is void or outside.

    Args:
        boundaries: ``(H, W)`` floats in [0, 1], -1 void.
        view: the crop.

    Returns:
        Float32 ``view.size``.

    Example:
        >>> thin = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
        >>> view_boundaries(thin, View((0.5, 3.0), (1, 3), scale=0.5))
        tensor([[0., 1., 0.]])
    """
    if view.upright:
        return _crop_upright(boundaries, view, VOID, torch.float32)
    rows, columns = view.box(*boundaries.shape)
    window = boundaries[rows, columns].float()
    if 0 in window.shape:
        return torch.full(view.size, float(VOID))
    at = view.positions(rows.start, columns.start).add_(0.5)  # (2, h, w), x then y
    x, y = at.floor()
    empty = _outside(x, window.shape[1]) | _outside(y, window.shape[0])
    nearest = _pick(window, y, x, empty)
    side = math.ceil(View((0, 0), (1, 1), view.scale, view.angle).extent[0] - 1e-6)
    if side > 1:
        padded = torch.nn.functional.pad(window, [side] * 4, value=VOID)
        highest = torch.nn.functional.max_pool2d(padded[None], side, stride=1)[0]
        x, y = at.add_(0.5 - side / 2 + side).floor_()  # first column and row of each box
        values = torch.where(nearest < 0, nearest, _pick(highest, y, x, empty))
    else:
        values = nearest
    return values.masked_fill_(empty, VOID)


def view_locations(locations: Tensor, view: View) -> Tensor:
    """Crop a location map by bilinear interpolation, with replicated borders.

    Args:
        locations: ``(2, H, W)`` floats.
        view: the crop.

    Returns:
        Float32 ``(2, *view.size)``, within the range of ``locations``.

    Example:
        >>> view_locations(pixel_locations(1, 4), View((0.5, 2.0), (1, 6)))[1]
        tensor([[0.1250, 0.1250, 0.3750, 0.6250, 0.8750, 0.8750]])
    """
    if not view.upright:
        return _interpolate(locations.float(), view.positions(), "border")
    rows, columns = (
        (torch.arange(first, first + side)).clamp_(0, length - 1)
        for first, side, length in zip(view.corner(), view.size, locations.shape[-2:], strict=True)
    )
    return _flip(locations.float()[:, rows[:, None], columns], view)


def view_map(values: Tensor, view: View) -> Tensor:
    """Crop a map according to its type; plain tensors and other masks are label maps.

    Returns:
        A plain tensor ``(*, *view.size)``.

    Example:
        >>> view_map(BoundaryMap(torch.zeros(4, 4)), View((2.0, 2.0), (2, 2))).dtype
        torch.float32
    """
    plain = values.as_subclass(Tensor)
    if isinstance(values, BoundaryMap):
        return view_boundaries(plain, view)
    return (view_locations if isinstance(values, LocationMap) else view_labels)(plain, view)


def _outside(at: Tensor, length: int) -> Tensor:
    """Mask of positions outside the image; a scalar False if the four corners are inside."""
    corners = at[:: max(at.shape[0] - 1, 1), :: max(at.shape[1] - 1, 1)]
    if bool(((corners >= 0) & (corners < length)).all()):
        return torch.tensor(False)
    return (at < 0) | (at >= length)


def _crop_upright(plane: Tensor, view: View, fill: float, kind: torch.dtype) -> Tensor:
    """An upright crop: a slice, padded with ``fill`` outside the image."""
    (top, left), (height, width) = view.corner(), view.size
    rows = slice(min(max(top, 0), plane.shape[-2]), max(top + height, 0))
    columns = slice(min(max(left, 0), plane.shape[-1]), max(left + width, 0))
    part = plane[..., rows, columns]
    if part.shape[-2:] == view.size:
        crop = part.to(kind, copy=True)
    else:
        crop = torch.full((*plane.shape[:-2], *view.size), fill, dtype=kind)
        y, x = rows.start - top, columns.start - left
        if part.numel():
            crop[..., y : y + part.shape[-2], x : x + part.shape[-1]] = part
    return _flip(crop, view)


def _flip(crop: Tensor, view: View) -> Tensor:
    axes = [axis for axis, mirrored in zip((-2, -1), view.mirror, strict=True) if mirrored]
    return crop.flip(axes) if axes else crop
