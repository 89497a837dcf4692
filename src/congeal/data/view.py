"""A turned, zoomed, mirrored window on an image: one resampling, and only of what it shows.

Each kind of map is resampled in its own way, at the same positions: images are interpolated, label
maps are picked from the nearest pixel, boundaries are the maximum over the pixels that a new one
covers, and locations are interpolated without an end.
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
    """Boundary strengths ``(H, W)`` in [0, 1], -1 void; transforms of torchvision see a mask."""


class LocationMap(tv_tensors.Mask):  # type: ignore[misc]
    """Locations ``(2, H, W)`` of :func:`pixel_locations`; transforms of torchvision see a mask."""


def pixel_locations(height: int, width: int) -> Tensor:
    """Where the middle of each pixel lies in its image, as shares of height and width.

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
    """Where a window lies on an image, and how it is turned.

    Args:
        centre: y and x of its middle on the image; (0, 0) is the outer corner of the first pixel.
        size: height and width of the window, in its own pixels.
        scale: zoom; 2 shows everything twice as large.
        angle: turn of what is seen, degrees clockwise.
        mirror: whether it is turned upside down, and whether left and right change sides.

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
        """Whether pixels fall on pixels, so that nothing is resampled."""
        return self.scale == 1.0 and self.angle == 0.0

    @property
    def reach(self) -> tuple[float, float]:
        """Height and width of the box on the image around all that the window shows.

        Example:
            >>> View((0.0, 0.0), (10, 30), scale=2.0, angle=90.0).reach
            (15.0, 5.0)
        """
        turn = math.radians(self.angle)
        cos, sin = (abs(round(f(turn), 12)) for f in (math.cos, math.sin))
        height, width = self.size
        return (
            (cos * height + sin * width) / self.scale,
            (sin * height + cos * width) / self.scale,
        )

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of an image of that size that the view touches; may be empty."""
        rows, columns = (
            slice(
                min(max(math.floor(middle - reach / 2) - 1, 0), length),
                min(max(math.ceil(middle + reach / 2) + 1, 0), length),
            )
            for middle, reach, length in zip(self.centre, self.reach, (height, width), strict=True)
        )
        return rows, columns

    def corner(self) -> tuple[int, int]:
        """Row and column of the image that an upright view begins at; may be negative."""
        (y, x), (height, width) = self.centre, self.size
        return math.floor(y - height / 2 + 0.5), math.floor(x - width / 2 + 0.5)

    def positions(self, top: int = 0, left: int = 0) -> Tensor:
        """Where on the image the middle of each pixel of the window lies.

        Args:
            top: row that counts as the first.
            left: column that counts as the first.

        Returns:
            ``(2, height, width)``, x then y; 0 is the middle of the first pixel.
        """
        turn = math.radians(self.angle)
        cos, sin = math.cos(turn) / self.scale, math.sin(turn) / self.scale
        down, across = (
            (torch.arange(length) - (length - 1) / 2) * (-1 if mirrored else 1)
            for length, mirrored in zip(self.size, self.mirror, strict=True)
        )
        found = torch.empty(2, *self.size)
        y, x = self.centre[0] - top - 0.5, self.centre[1] - left - 0.5
        torch.add((sin * down + x)[:, None], (cos * across)[None], out=found[0])
        torch.add((cos * down + y)[:, None], (-sin * across)[None], out=found[1])
        return found


def view_image(image: Tensor, view: View, fill: float = 0.0) -> Tensor:
    """Look at an image: between pixels the values are interpolated, where it ends is ``fill``.

    What is shown at half its size or less is averaged over blocks first, so that fine texture
    does not flicker.

    Args:
        image: ``(C, H, W)`` of any real type.
        view: the window.
        fill: value where the canvas is empty.

    Returns:
        Float32 ``(C, *view.size)``, never a view of ``image``'s memory.

    Example:
        >>> view_image(torch.tensor([[[0, 1]]]), View((0.5, 1.0), (1, 2), scale=2.0))
        tensor([[[0.2500, 0.7500]]])
    """
    if len(image) > 1 and image.stride(0) == 0:  # gray, told as three channels
        return view_image(image[:1], view, fill).expand(len(image), -1, -1).contiguous()
    if view.upright:
        return _set_in(image, view, fill, torch.float32)
    block = max(math.floor(1 / view.scale), 1)
    rows, columns = (
        slice(part.start, part.start + math.ceil((part.stop - part.start) / block) * block)
        for part in view.box(*image.shape[-2:])
    )  # whole blocks, but where the image ends
    window = image[:, rows, columns].float()
    if 0 in window.shape:
        return torch.full((len(image), *view.size), fill)
    at = view.positions(rows.start, columns.start)  # (2, h, w)
    if block > 1:
        pool = torch.nn.functional.avg_pool2d
        window = pool(window, block, ceil_mode=True, count_include_pad=False)
        at.add_(0.5).div_(block).sub_(0.5)
    return _interpolate(window - fill, at).add_(fill) if fill else _interpolate(window, at)


def _interpolate(plane: Tensor, at: Tensor, beyond: str = "zeros") -> Tensor:
    """Values of ``(C, H, W)`` at positions ``(2, h, w)``; outside 0, or with "border" the last."""
    for axis, length in enumerate((plane.shape[-1], plane.shape[-2])):
        at[axis].add_(0.5).mul_(2 / length).sub_(1)  # from -1, the outer edge, to 1
    grid = at.permute(1, 2, 0)[None]  # (1, h, w, 2); torch reads it as it lies, x's before y's
    seen: Tensor = torch.nn.functional.grid_sample(
        plane[None], grid, mode="bilinear", padding_mode=beyond, align_corners=False
    )
    return seen[0]


def view_labels(labels: Tensor, view: View, void: int = -1) -> Tensor:
    """Look at a label map: the label of the nearest pixel, ``void`` where the map ends.

    Labels are picked, never computed with, so that every number stays exact.

    Args:
        labels: ``(*, H, W)`` of an integer type.
        view: the window.
        void: label where the canvas is empty.

    Returns:
        Int64 ``(*, *view.size)``.

    Example:
        >>> view_labels(torch.tensor([[7]]), View((0.5, 0.5), (1, 4), scale=2.0))
        tensor([[-1,  7,  7, -1]])
    """
    if view.upright:
        return _set_in(labels, view, void, torch.int64)
    rows, columns = view.box(*labels.shape[-2:])
    window = labels[..., rows, columns]
    if 0 in window.shape:
        return torch.full((*labels.shape[:-2], *view.size), void)
    x, y = view.positions(rows.start, columns.start).add_(0.5).floor_()
    height, width = window.shape[-2:]
    empty = _outside(x, width) | _outside(y, height)  # (h, w), or a single no
    return _pick(window, y, x, empty).long().masked_fill_(empty, void)


def _pick(plane: Tensor, y: Tensor, x: Tensor, empty: Tensor) -> Tensor:
    """Values of ``(*, H, W)`` at whole rows and columns ``(h, w)``; anything where it is empty."""
    places = (y.long() * plane.shape[-1]).add_(x.long()).masked_fill_(empty, 0)
    picked = plane.reshape(*plane.shape[:-2], -1).index_select(-1, places.reshape(-1))
    return picked.reshape(*plane.shape[:-2], *y.shape)


def view_boundaries(boundaries: Tensor, view: View) -> Tensor:
    """Look at a boundary map: the maximum over the pixels that each pixel of the window covers.

    A boundary is one pixel thin, so the nearest pixel would miss parts of it and a mean would fade
    it. The pixels that count are those of the upright box around the turned pixel: every marked
    pixel that the window shows marks at least one pixel of the window. A turned line may become
    two pixels thick. A pixel is void where the nearest pixel of the map is, or where the map ends.

    Args:
        boundaries: ``(H, W)`` floats in [0, 1], -1 void.
        view: the window.

    Returns:
        Float32 ``view.size``.

    Example:
        >>> thin = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
        >>> view_boundaries(thin, View((0.5, 3.0), (1, 3), scale=0.5))
        tensor([[0., 1., 0.]])
    """
    if view.upright:
        return _set_in(boundaries, view, VOID, torch.float32)
    rows, columns = view.box(*boundaries.shape)
    window = boundaries[rows, columns].float()
    if 0 in window.shape:
        return torch.full(view.size, float(VOID))
    at = view.positions(rows.start, columns.start).add_(0.5)  # (2, h, w), x then y
    x, y = at.floor()
    empty = _outside(x, window.shape[1]) | _outside(y, window.shape[0])
    nearest = _pick(window, y, x, empty)
    side = math.ceil(View((0, 0), (1, 1), view.scale, view.angle).reach[0] - 1e-6)
    if side > 1:
        padded = torch.nn.functional.pad(window, [side] * 4, value=VOID)
        highest = torch.nn.functional.max_pool2d(padded[None], side, stride=1)[0]
        x, y = at.add_(0.5 - side / 2 + side).floor_()  # first column and row of each block
        found = torch.where(nearest < 0, nearest, _pick(highest, y, x, empty))
    else:
        found = nearest
    return found.masked_fill_(empty, VOID)


def view_locations(locations: Tensor, view: View) -> Tensor:
    """Look at locations: interpolated; beyond the image they are those of its nearest pixel.

    Args:
        locations: ``(2, H, W)`` floats.
        view: the window.

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
    return _mirrored(locations.float()[:, rows[:, None], columns], view)


def view_map(one: Tensor, view: View) -> Tensor:
    """Look at a map as its type asks for; a plain tensor and any other mask is a label map.

    Returns:
        A plain tensor ``(*, *view.size)``.

    Example:
        >>> view_map(BoundaryMap(torch.zeros(4, 4)), View((2.0, 2.0), (2, 2))).dtype
        torch.float32
    """
    plain = one.as_subclass(Tensor)
    if isinstance(one, BoundaryMap):
        return view_boundaries(plain, view)
    return (view_locations if isinstance(one, LocationMap) else view_labels)(plain, view)


def _outside(at: Tensor, length: int) -> Tensor:
    """Which positions lie off the image; a single no where none does, which the corners tell."""
    corners = at[:: max(at.shape[0] - 1, 1), :: max(at.shape[1] - 1, 1)]
    if bool(((corners >= 0) & (corners < length)).all()):
        return torch.tensor(False)
    return (at < 0) | (at >= length)


def _set_in(plane: Tensor, view: View, fill: float, kind: torch.dtype) -> Tensor:
    """An upright view: cut out, and set on an empty canvas where the image ends."""
    (top, left), (height, width) = view.corner(), view.size
    rows = slice(min(max(top, 0), plane.shape[-2]), max(top + height, 0))
    columns = slice(min(max(left, 0), plane.shape[-1]), max(left + width, 0))
    part = plane[..., rows, columns]
    if part.shape[-2:] == view.size:
        seen = part.to(kind, copy=True)
    else:
        seen = torch.full((*plane.shape[:-2], *view.size), fill, dtype=kind)
        y, x = rows.start - top, columns.start - left
        if part.numel():
            seen[..., y : y + part.shape[-2], x : x + part.shape[-1]] = part
    return _mirrored(seen, view)


def _mirrored(seen: Tensor, view: View) -> Tensor:
    flipped = [axis for axis, mirrored in zip((-2, -1), view.mirror, strict=True) if mirrored]
    return seen.flip(flipped) if flipped else seen
