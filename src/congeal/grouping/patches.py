"""Few weighted points for many pixels: blocks of the image whose pixels are alike.

A trained embedding changes little from one pixel to the next but at the borders of objects. There
single pixels count; elsewhere the mean of a block says the same as its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from congeal.grouping.nearest import lengths, take
from congeal.grouping.tiles import find_tiles
from congeal.sphere import normalise

__all__ = ["Patches", "find_patches"]

PLANES = 2**19  # numbers of the embedding that are weighed and added up at once
HALVINGS = 12  # of the range of angles in which the spread is looked for


@dataclass(frozen=True)
class Patches:
    """What stands for the pixels of an image.

    Attributes:
        directions: ``(P, D)`` unit vectors, the mean directions of the patches.
        mass: ``(P,)`` of their pixels.
        length: ``(P,)`` of the mean of their unit vectors, 1 where all are the same.
        of: ``(*S)`` int64, the patch of each pixel; -1 where there is no mass.
    """

    directions: Tensor
    mass: Tensor
    length: Tensor
    of: Tensor


class _Level(NamedTuple):
    """Blocks of the image of one size, ``(D, *S)`` and ``(*S)``."""

    sums: Tensor  # of unit vectors times mass
    mass: Tensor
    spread: Tensor  # the largest in it and in the blocks it is made of, infinite if barred
    saved: Tensor  # points that one for the block takes the place of, less one


def find_patches(
    embedding: Tensor, length: Tensor, mass: Tensor, *, most: int, foreign: float
) -> Patches | None:
    """Cut an image into at most so many blocks of 1, 2, 4, 8, ... pixels a side.

    Blocks are put together as long as their pixels are alike: where the mean of their unit vectors
    has length R, the spread is sqrt(2 - 2 R), the root mean square of the angle to the mean.
    Everywhere up to the same spread, about the smallest with which there are few enough.

    Args:
        embedding: ``(D, *S)``.
        length: ``(*S)`` of each of its vectors.
        mass: ``(*S)`` of each pixel, 0 for those that do not take part.
        most: patches.
        foreign: most that a block may lose, its mass times 1 - R. As much as it has of something
            else at a right angle to the rest, if that is little.

    Returns:
        None where so few would take blocks with other objects in them.

    Example:
        >>> embedding = torch.zeros(2, 4, 4)
        >>> embedding[0, :, :3], embedding[1, :, 3:] = 1, 1
        >>> patches = find_patches(
        ...     embedding, torch.ones(4, 4), torch.ones(4, 4), most=10, foreign=0.5
        ... )
        >>> patches.mass.tolist()
        [4.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
        >>> patches.of[0].tolist()
        [0, 0, 2, 3]
    """
    tiles = find_tiles(mass > 0)
    if tiles is not None:
        return _in_tiles(embedding, length, mass, tiles, most, foreign)
    return _in_whole(embedding, length, mass, most, foreign)


def _in_whole(
    embedding: Tensor, length: Tensor, mass: Tensor, most: int, foreign: float
) -> Patches | None:
    levels = _levels(embedding, mass / length, mass, foreign)
    limit = _limit(levels, int((mass > 0).sum()), most)
    if limit is None:
        return None
    of = torch.full((1,) * mass.ndim, -1, dtype=torch.int64, device=mass.device)
    sums, weights, count = [], [], 0
    for level in reversed(levels):
        of = _spread_out(of, level.mass.shape)
        new = (level.spread <= limit) & (level.mass > 0) & (of < 0)
        sums.append(level.sums[:, new])
        weights.append(level.mass[new])
        of[new] = torch.arange(count, count + len(weights[-1]), device=of.device)
        count += len(weights[-1])
    of = _spread_out(of, mass.shape)
    single = (mass > 0) & (of < 0)
    weights.append(mass[single])
    sums.append(embedding[:, single] * (mass / length)[single])
    of[single] = torch.arange(count, count + len(weights[-1]), device=of.device)
    vectors, held = torch.cat(sums, 1).T, torch.cat(weights)
    of.masked_fill_(mass <= 0, -1)
    return Patches(normalise(vectors, dim=1), held, vectors.norm(dim=1) / held, of)


def _in_tiles(
    embedding: Tensor, length: Tensor, mass: Tensor, tiles: Tensor, most: int, foreign: float
) -> Patches | None:
    """The same, of an image of these tiles side by side: blocks do not cross the edge of one.

    Larger blocks may join tiles that are apart, if their pixels are alike; that does no harm.
    """
    strip = tiles.movedim(0, -2).flatten(-2)  # (t, ..., t, n t)
    beyond = strip == mass.numel()
    at = strip.masked_fill(beyond, 0)
    picked = take(embedding.flatten(1), at.flatten()).view(len(embedding), *strip.shape)
    lengths_there, mass_there = length.flatten()[at], mass.flatten()[at].masked_fill(beyond, 0)
    patches = _in_whole(picked, lengths_there, mass_there, most, foreign)
    if patches is None:
        return None
    of = torch.full((mass.numel() + 1,), -1, dtype=torch.int64, device=mass.device)
    of[strip] = patches.of
    return replace(patches, of=of[:-1].view(mass.shape))


def _levels(embedding: Tensor, weight: Tensor, mass: Tensor, foreign: float) -> list[_Level]:
    """Blocks of 2, 4, 8, ... pixels a side, until one is left."""
    sums = _add_weighted_pairs(embedding, weight)
    spread = torch.zeros_like(mass)
    levels = list[_Level]()
    while True:
        taken = _add_pairs((mass > 0).to(mass)[None])[0]
        mass = _add_pairs(mass[None])[0]
        short = (1 - _length(sums) / mass.clamp_min(1e-12)).clamp_min(0)
        own = (2 * short).sqrt().masked_fill(mass <= 0, 0)
        own = own.masked_fill(short * mass > foreign, torch.inf)
        spread = torch.maximum(own, _largest_of_pairs(spread))
        levels.append(_Level(sums, mass, spread, (taken - 1).clamp_min(0)))
        if max(mass.shape) == 1:
            return levels
        sums = _add_pairs(sums)


def _limit(levels: list[_Level], pixels: int, most: int) -> float | None:
    """The spread up to which blocks are put together, so that at most so many points are left."""
    spread = torch.cat([level.spread.flatten() for level in levels])
    saved = torch.cat([level.saved.flatten() for level in levels]).double()  # many, all counted
    least, enough = 0.0, float(spread.masked_fill(spread.isinf(), 0).amax())
    if pixels - int(saved @ spread.isfinite().double()) > most:
        return None
    for _ in range(HALVINGS):
        middle = (least + enough) / 2
        few = pixels - int(saved @ (spread <= middle).double()) <= most
        least, enough = (least, middle) if few else (middle, enough)
    return enough


def _length(sums: Tensor) -> Tensor:
    """``(*S)`` of ``(D, *S)``."""
    return lengths(sums.flatten(1)).view(sums.shape[1:])


def _pairs(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Every first and every second along an axis; a zero after the last if they are odd."""
    if values.shape[axis] % 2:
        values = pad(values, (0, 0) * (values.ndim - 1 - axis) + (0, 1))
    halves = values.unflatten(axis, (-1, 2))
    return halves.select(axis + 1, 0), halves.select(axis + 1, 1)


def _add_weighted_pairs(values: Tensor, weight: Tensor) -> Tensor:
    """``_add_pairs(values * weight)``, a few planes at once, so that caches hold them."""
    one, other = _pairs(weight, 0)
    parts = []
    for part in values.split(max(1, PLANES // weight.numel())):
        first, second = _pairs(part, 1)
        parts.append(_add_pairs((first * one).addcmul_(second, other), from_axis=2))
    return torch.cat(parts)


def _add_pairs(values: Tensor, from_axis: int = 1) -> Tensor:
    """``(C, *S)`` to half the size of each axis of S, rounded up."""
    for axis in range(from_axis, values.ndim):
        first, second = _pairs(values, axis)
        values = first + second
    return values


def _largest_of_pairs(values: Tensor) -> Tensor:
    """``(*S)``, at least 0, to half the size of each axis, rounded up."""
    for axis in range(values.ndim):
        values = torch.maximum(*_pairs(values, axis))
    return values


def _spread_out(values: Tensor, size: torch.Size) -> Tensor:
    """The value of each block for the blocks, or pixels, that it is made of."""
    for axis, side in enumerate(size):
        values = values.repeat_interleave(2, axis).narrow(axis, 0, side)
    return values
