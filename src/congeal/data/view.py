"""A turned, zoomed, mirrored window on an image: one resampling, and only of what it shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["View", "view_image", "view_labels"]


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


def _interpolate(plane: Tensor, at: Tensor) -> Tensor:
    """Values of ``(C, H, W)`` at positions ``(2, h, w)``, 0 outside."""
    for axis, length in enumerate((plane.shape[-1], plane.shape[-2])):
        at[axis].add_(0.5).mul_(2 / length).sub_(1)  # from -1, the outer edge, to 1
    grid = at.permute(1, 2, 0)[None]  # (1, h, w, 2); torch reads it as it lies, x's before y's
    seen: Tensor = torch.nn.functional.grid_sample(
        plane[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False
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
    places = (y.long() * width).add_(x.long()).masked_fill_(empty, 0)
    picked = window.reshape(*labels.shape[:-2], -1).index_select(-1, places.reshape(-1))
    found = picked.reshape(*labels.shape[:-2], *view.size)
    return found.long().masked_fill_(empty, void)


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
    flipped = [axis for axis, mirrored in zip((-2, -1), view.mirror, strict=True) if mirrored]
    return seen.flip(flipped) if flipped else seen
