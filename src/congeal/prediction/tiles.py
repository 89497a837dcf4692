"""Positions of the tiles of an image, and which tile is responsible for an object.

An image is covered by tiles that overlap. Each tile has a core, and the cores share no pixel:

```text
          |<------------------- tile ------------------->|
|         |    halo    |                    |    halo    |         |
| context |            |<------ core ------>|            | context |
                                            |<-- overlap: two halos -->|
```

A network sees a whole tile and the context around it. Pixels within ``margin`` of an inner edge of
the tile, and those of the context, are not trusted, since the network lacks their surroundings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from congeal.errors import CongealError

__all__ = ["Block", "TilePlan", "Window", "plan_tiles", "tile_unit"]

MARGIN = 8  # the margin is 1 / 8 of the overlap, so objects up to 3 / 4 of it fit some tile whole
LARGEST_UNIT = 256  # pixels; offsets that would need more are not aligned


@dataclass(frozen=True)
class Window:
    """Rows and columns of an image; the far ends are one past the last pixel.

    Example:
        >>> Window(2, 0, 5, 4).size
        (3, 4)
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """To take the window out of an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, other: Window) -> Window:
        """The same window, relative to the corner of another."""
        top, left = other.top, other.left
        return Window(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def meet(self, other: Window) -> Window | None:
        """The intersection of two windows; None where it is empty.

        Example:
            >>> Window(0, 0, 4, 4).meet(Window(3, 1, 9, 2))
            Window(top=3, left=1, bottom=4, right=2)
        """
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Window(top, left, bottom, right) if top < bottom and left < right else None


@dataclass(frozen=True)
class Block:
    """A tile of an image.

    Attributes:
        number: from 0, row by row.
        place: row and column in the grid of tiles.
        tile: input of the network, with the context.
        core: the cores of all blocks cover the image once.
        trusted: the tile less a margin at edges that are not those of the image.
    """

    number: int
    place: tuple[int, int]
    tile: Window
    core: Window
    trusted: Window


@dataclass(frozen=True)
class TilePlan:
    """The tiles of an image.

    Args:
        size: height and width of the image in pixels.
        tile: side of a tile in pixels.
        overlap: that neighbouring tiles share, in pixels; even.
        context: pixels around a tile that the network sees too.

    Example:
        >>> plan = TilePlan((100, 150), tile=64, overlap=32, context=8)
        >>> [block.core.size for block in plan.blocks][:2], len(plan.blocks)
        ([(48, 48), (48, 32)], 12)
        >>> plan.blocks[1].tile
        Window(top=0, left=24, bottom=72, right=104)
    """

    size: tuple[int, int]
    tile: int
    overlap: int
    context: int = 0

    @property
    def margin(self) -> int:
        """Pixels at inner edges of a tile that are not trusted."""
        return self.overlap // MARGIN

    @cached_property
    def axes(self) -> tuple[list[_Span], list[_Span]]:
        """Tile, core and trusted part of each row of tiles, and of each column."""
        rows, columns = (list(self._spans(length)) for length in self.size)
        return rows, columns

    def _spans(self, length: int) -> Iterator[_Span]:
        start, halo = 0, self.overlap // 2
        while True:
            end = min(start + self.tile, length)
            first, last = start == 0, end == length
            yield _Span(
                (max(start - self.context, 0), min(end + self.context, length)),
                (start + (0 if first else halo), end - (0 if last else halo)),
                (start + (0 if first else self.margin), end - (0 if last else self.margin)),
            )
            if last:
                return
            start += self.tile - self.overlap

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, row by row."""
        rows, columns = self.axes
        places = [(row, column) for row in range(len(rows)) for column in range(len(columns))]
        return tuple(
            Block(number, (row, column), *_windows(rows[row], columns[column]))
            for number, (row, column) in enumerate(places)
        )

    def pairs(self) -> Iterator[tuple[Block, Block, Window]]:
        """Pairs of blocks whose trusted parts intersect, each pair once, with the intersection."""
        columns = len(self.axes[1])
        for block in self.blocks:
            for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
                row, column = block.place[0] + down, block.place[1] + right
                if row < len(self.axes[0]) and 0 <= column < columns:
                    other = self.blocks[row * columns + column]
                    shared = block.trusted.meet(other.trusted)
                    if shared is not None:
                        yield block, other, shared

    def responsible(self, first: tuple[int, int], box: Window) -> int | None:
        """Number of the block that is responsible for an object; all blocks compute the same one.

        It is the block whose core holds the first pixel of the object. Where that block does not
        see the object whole, it is the first block that does.

        Args:
            first: row and column of the first pixel, in the order of reading.
            box: of the object.

        Returns:
            None where no block sees the object whole.
        """
        own, fitting = [], []
        for spans, at, ends in zip(
            self.axes, first, ((box.top, box.bottom), (box.left, box.right)), strict=True
        ):
            own.append(next(i for i, span in enumerate(spans) if at < span.core[1]))
            fitting.append([i for i, span in enumerate(spans) if span.trusts(*ends)])
        if not all(fitting):
            return None
        held = all(one in several for one, several in zip(own, fitting, strict=True))
        row, column = own if held else (fitting[0][0], fitting[1][0])
        return row * len(self.axes[1]) + column


@dataclass(frozen=True)
class _Span:
    """A tile along one axis: start and end of all of it, of its core and of its trusted part."""

    tile: tuple[int, int]
    core: tuple[int, int]
    trusted: tuple[int, int]

    def trusts(self, start: int, end: int) -> bool:
        return self.trusted[0] <= start and end <= self.trusted[1]


def _windows(row: _Span, column: _Span) -> tuple[Window, Window, Window]:
    parts = ((row.tile, column.tile), (row.core, column.core), (row.trusted, column.trusted))
    tile, core, trusted = (Window(y[0], x[0], y[1], x[1]) for y, x in parts)
    return tile, core, trusted


def tile_unit(divisor: int, shown: float = 1.0) -> int:
    """Pixels that tile offsets must be a multiple of, so that all tiles align with the stride.

    Args:
        divisor: of the sides of the network's input.
        shown: size of the network's input relative to the image.

    Example:
        >>> tile_unit(32), tile_unit(32, 0.5), tile_unit(32, 1.37)
        (32, 64, 32)
    """
    ratio = Fraction(shown).limit_denominator(64)
    unit = divisor * ratio.denominator // math.gcd(divisor * ratio.denominator, ratio.numerator)
    exact = abs(float(ratio) - shown) < 1e-9
    return unit if exact and unit <= LARGEST_UNIT else divisor


def plan_tiles(
    size: tuple[int, int], tile: int, overlap: int, unit: int = 1, context: int = 0
) -> TilePlan:
    """Cover an image with tiles; sides and offsets become multiples of the unit.

    Args:
        size: height and width of the image in pixels.
        tile: side of a tile in pixels; rounded up.
        overlap: of neighbouring tiles in pixels; rounded up.
        unit: of :func:`tile_unit`.
        context: pixels around a tile that the network sees too; rounded up.

    Raises:
        CongealError: the overlap is negative or more than half of a tile.

    Example:
        >>> plan_tiles((1000, 1000), tile=500, overlap=100, unit=32)
        TilePlan(size=(1000, 1000), tile=512, overlap=128, context=0)
    """
    if tile < 1 or overlap < 0:
        raise CongealError(
            f"expected a tile from 1 pixel up and an overlap from 0 up, got {tile} and {overlap}"
        )
    tile, overlap = -(-tile // unit) * unit, -(-overlap // (2 * unit)) * 2 * unit
    if 2 * overlap > tile and tile < max(size):
        raise CongealError(
            f"expected tiles of at least twice the overlap, got tiles of {tile} pixels that "
            f"overlap by {overlap} (multiples of {unit}, from --tile and --overlap)"
        )
    return TilePlan(size, tile, overlap, -(-context // unit) * unit)
