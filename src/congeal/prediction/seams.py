"""Joining objects across tiles: union-find over the objects of all blocks.

Two objects of neighbouring blocks are one where they agree on the pixels that both blocks trust
(IoU of at least one half there). Of a group of such objects

- the one that is whole and owned by its block replaces the others;
- otherwise, as for an object larger than the overlap, each block contributes the part in its core.

An object near a seam that only one block sees is kept if that block owns it, or if half of it is in
the block's core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from congeal.prediction.blocks import BlockResult, Found, load_block
from congeal.prediction.tiles import Block, TilePlan, Window

__all__ = ["SHIFT", "Joined", "Seams", "join_blocks"]

SHIFT = 32  # bits: the id of an object is the number of its block, then its id in the block
JOIN = 0.5  # IoU from which on two objects are one
DOUBT = 0.25  # IoU from which on a pair is reported as doubtful
SLACK = 0.25  # by how much of its side a part may exceed the box of the whole object

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Joined:
    """An object of the whole image.

    Attributes:
        members: block-unique ids of what is painted.
        whole: paint all of its one member, not only what lies in the core of its block.
        first: row and column of its first pixel.
        score: mean over the parts, by pixels.
        category: class of most pixels.
    """

    members: tuple[int, ...]
    whole: bool
    first: tuple[int, int]
    score: float
    category: int


@dataclass
class Seams:
    """Seam report: objects at tile edges.

    Attributes:
        tiles: number of tiles.
        objects: number of objects of the image.
        touching: objects seen by several blocks, or cut by the edge of a tile.
        joined: objects put together from the parts of several blocks.
        doubtful: pairs of objects that agree on a quarter to a half: where, and their IoU.
        rows: where cores meet, in pixels from the top.
        columns: where cores meet, in pixels from the left.
    """

    tiles: int = 1
    objects: int = 0
    touching: int = 0
    joined: int = 0
    doubtful: list[dict[str, Any]] = field(default_factory=list)
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def resized(self, before: tuple[int, int], after: tuple[int, int], objects: int) -> Seams:
        """The same seams in pixels of an image of another size, in which so many objects are."""
        down, across = (new / old for old, new in zip(before, after, strict=True))
        doubtful = [
            {**one, "y": int(one["y"] * down), "x": int(one["x"] * across)} for one in self.doubtful
        ]
        rows = tuple(round(row * down) for row in self.rows)
        columns = tuple(round(column * across) for column in self.columns)
        return replace(self, objects=objects, doubtful=doubtful, rows=rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "tiles": self.tiles,
            "objects": self.objects,
            "objects_at_seams": self.touching,
            "objects_joined": self.joined,
            "doubtful": self.doubtful,
            "seams": {"y": list(self.rows), "x": list(self.columns)},
        }


def join_blocks(folder: Path, plan: TilePlan) -> tuple[list[Joined], Seams]:
    """Join the objects of all blocks; sorted by first pixel.

    Args:
        folder: of the files of the blocks.
        plan: of the tiles.

    Raises:
        CongealError: a file is missing or damaged.
    """
    rows, columns = (tuple(span.core[0] for span in axis[1:]) for axis in plan.axes)
    union, seams = DisjointSet(), Seams(tiles=len(plan.blocks), rows=rows, columns=columns)
    held: dict[int, BlockResult] = {}
    tables: dict[int, Found] = {}
    for one, other, shared in plan.pairs():
        # Pairs come row by row: what lies more than a row of tiles back is not needed again.
        for number in [number for number in held if number < one.number]:
            del held[number]
        for number in (one.number, other.number):
            if number not in held:
                held[number] = load_block(folder, number)
                tables[number] = held[number].found
        _match(held, one, other, shared, union, seams)
    for block in plan.blocks:
        if block.number not in tables:  # where tiles do not overlap
            tables[block.number] = load_block(folder, block.number).found
    found = list(_settle(tables, union, seams))
    found.sort(key=lambda one: (one.first, one.members))
    seams.objects = len(found)
    return found, seams


def _match(
    held: dict[int, BlockResult],
    one: Block,
    other: Block,
    shared: Window,
    union: DisjointSet,
    seams: Seams,
) -> None:
    """Join the objects of two blocks that agree where both trust their pixels."""
    mine, theirs = (
        held[block.number].layers[:, *shared.within(block.tile).slices] for block in (one, other)
    )
    for layer in mine:
        for against in theirs:
            for a, b, iou in _overlaps(layer, against):
                if iou >= JOIN:
                    pair = _unique(one.number, a), _unique(other.number, b)
                    for member in pair:
                        union.add(member)
                    union.merge(*pair)
                elif iou >= DOUBT:
                    y, x = np.argwhere((layer == a) & (against == b)).mean(0).round().tolist()
                    place = {"y": int(y) + shared.top, "x": int(x) + shared.left}
                    seams.doubtful.append({**place, "iou": round(iou, 3)})


def _overlaps(one: NDArray[np.int32], other: NDArray[np.int32]) -> Iterator[tuple[int, int, float]]:
    """Pairs of ids of two label maps that share pixels, and their IoU."""
    both = (one > 0) & (other > 0)
    if not both.any():
        return
    keys = (one[both].astype(np.int64) << SHIFT) | other[both]
    pairs, shared = np.unique(keys, return_counts=True)
    of_one, of_other = np.bincount(one.ravel()), np.bincount(other.ravel())
    a, b = pairs >> SHIFT, pairs & (2**SHIFT - 1)
    iou = shared / (of_one[a] + of_other[b] - shared)
    yield from zip(a.tolist(), b.tolist(), iou.tolist(), strict=True)


def _unique(block: int, local: int) -> int:
    return (block << SHIFT) | local


def _settle(tables: dict[int, Found], union: DisjointSet, seams: Seams) -> Iterator[Joined]:
    """The objects of the image, in no order."""
    grouped = union.subsets()
    seams.touching += len(grouped)
    for members in grouped:
        found = _of_group(sorted(members), tables)
        if found is not None:
            seams.joined += len(found.members) > 1
            yield found
    for number, table in tables.items():
        alone = np.array([_unique(number, row + 1) not in union for row in range(len(table))])
        alone = alone.astype(bool)
        seams.touching += int((alone & ~table.whole & (table.core_areas > 0)).sum())
        half = ~table.whole & (2 * table.core_areas >= table.areas)
        describe = partial(_single, number, table)
        yield from (describe(int(row), True) for row in np.flatnonzero(alone & table.owned))
        yield from (describe(int(row), False) for row in np.flatnonzero(alone & half))


def _single(number: int, table: Found, row: int, whole: bool) -> Joined:
    first = table.first[row] if whole else table.core_first[row]
    member = _unique(number, row + 1)
    return _joined((member,), whole, first, float(table.scores[row]), int(table.classes[row]))


def _joined(
    members: tuple[int, ...], whole: bool, first: NDArray[np.int64], score: float, category: int
) -> Joined:
    return Joined(members, whole, (int(first[0]), int(first[1])), score, category)


def _of_group(members: list[int], tables: dict[int, Found]) -> Joined | None:
    """The object of a group; None where no core has a pixel of it."""
    rows = [(tables[one >> SHIFT], (one & (2**SHIFT - 1)) - 1) for one in members]
    whole = [k for k, (table, row) in enumerate(rows) if table.whole[row]]
    owned = [k for k in whole if rows[k][0].owned[rows[k][1]]]
    if whole:
        best = (owned or whole)[0]
        box = rows[best][0].boxes[rows[best][1]]
        if all(_holds(box, table.boxes[row]) for table, row in rows):
            table, row = rows[best]
            return _single(members[best] >> SHIFT, table, row, True)
    return _of_parts(members, rows)


def _of_parts(members: list[int], rows: list[tuple[Found, int]]) -> Joined | None:
    """An object put together from its parts in the cores; None without any."""
    area = np.array([table.core_areas[row] for table, row in rows], np.int64)
    if not area.any():
        return None
    scores = np.array([table.scores[row] for table, row in rows], np.float64)
    classes = np.array([table.classes[row] for table, row in rows])
    first = min((table.core_first[row] for table, row in rows), key=tuple)
    parts = tuple(one for one, size in zip(members, area, strict=True) if size)
    category = int(np.bincount(classes, area).argmax())
    return _joined(parts, False, first, float(np.average(scores, weights=area)), category)


def _holds(box: NDArray[np.int64], part: NDArray[np.int64]) -> bool:
    """Whether a box contains another, up to the difference of two predictions of one object."""
    slack = np.tile(SLACK * (box[2:] - box[:2]), 2)
    low, high = box - slack, box + slack
    return bool((part[:2] >= low[:2]).all() and (part[2:] <= high[2:]).all())
