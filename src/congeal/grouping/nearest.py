"""The nearest mode of each of many pixels: all compared with all, or fewer where that is sure."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["angles", "lengths", "nearest_in_runs", "nearest_modes", "nearest_two", "take"]

CHUNK = 8192  # pixels compared with the modes at once, at most; they stay in the cache
MANY = 8 * CHUNK  # pixels read at once, where each is compared with a few modes or with none
TABLE = 2**21  # cosines written at once, where there are hundreds of modes; so do these
RUN = 16  # pixels in a row that may have the same mode
BESIDE = 8  # runs that may have the same few
FEW = 16  # modes that all pixels are as quickly compared with
DIGIT = 128  # numbers of modes are written to this base
SURE = 1e-5  # by how much a cosine must be above the bound, whatever rounding does


def nearest_modes(
    points: Tensor, modes: Tensor, length: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Index of the nearest mode of each point, and the cosine to it.

    Args:
        points: ``(D, N)`` of any length.
        modes: ``(M, D)`` unit vectors, at least one.
        length: ``(N,)`` of the points, if that is known.

    Returns:
        ``(N,)`` int64 and ``(N,)``.
    """
    count = points.shape[1]
    index = torch.empty(count, dtype=torch.int64, device=points.device)
    cosine = points.new_empty(count)
    digits = _digits(modes)
    for here in _chunks(points, _at_once(modes)):
        part = points[:, here]  # (D, n)
        best, index[here] = _largest(modes @ part, digits)  # (M, n): long rows go quickest
        cosine[here] = best / (lengths(part) if length is None else length[here])
    return index, cosine


def _digits(modes: Tensor) -> Tensor:
    """``(3, M)``: low and high digit of the number of each mode, and one."""
    number = torch.arange(len(modes), device=modes.device)
    return torch.stack([number % DIGIT, number // DIGIT, number.new_ones(len(modes))]).to(modes)


def _largest(table: Tensor, digits: Tensor) -> tuple[Tensor, Tensor]:
    """Largest entry of each column of ``(M, n)``, which is used up, and the first row with it.

    On a CPU a product with the numbers of the rows, of ones where the largest are, finds them in
    half the time of a search. Digits are small, so that they are exact in any precision.
    """
    if table.device.type != "cpu":
        best, row = table.max(0)
        return best, row
    best = table.amax(0)
    low, high, count = digits @ table.eq_(best)
    row = (low + DIGIT * high).long()
    tied = (count != 1).nonzero()[:, 0]
    if len(tied):
        row[tied] = table[:, tied].argmax(0)
    return best, row


def nearest_two(points: Tensor, modes: Tensor, group: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Index of the nearest mode of each point, and the cosines to it and to those of other groups.

    Args:
        points: ``(D, N)`` of any length.
        modes: ``(M, D)`` unit vectors, at least one.
        group: ``(M,)`` what each mode belongs to.

    Returns:
        ``(N,)`` int64, ``(N,)``, and ``(N,)``, -1 where there is no other group.
    """
    count = points.shape[1]
    index = torch.empty(count, dtype=torch.int64, device=points.device)
    cosine, other = points.new_empty(2, count)
    digits = _digits(modes)
    for here in _chunks(points, _at_once(modes)):
        part = points[:, here]  # (D, n)
        table, length = modes @ part, lengths(part)  # (M, n)
        best, index[here] = _largest(table.clone(), digits)
        own = group[index[here]] == group[:, None]
        cosine[here] = best / length
        other[here] = table.masked_fill_(own, -torch.inf).amax(0) / length
    return index, cosine, other.clamp_min_(-1)


def nearest_in_runs(
    points: Tensor, modes: Tensor, length: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same as :func:`nearest_modes`, quicker where pixels beside each other have few modes.

    One point of each run is compared with all modes, the others with the modes that some runs
    beside each other found. By the triangle inequality the nearest of them is theirs, too, within
    half the angle from it to the next mode; only points beyond that are compared with all.

    Args:
        points: ``(D, N)`` of any length.
        modes: ``(M, D)`` unit vectors, at least one.
        length: ``(N,)`` of the points, if that is known.

    Returns:
        ``(N,)`` int64 and ``(N,)``.
    """
    count = points.shape[1]
    whole = count // (RUN * BESIDE) * (RUN * BESIDE)
    if len(modes) < FEW or not whole:
        return nearest_modes(points, modes, length)
    at = nearest_modes(points[:, RUN // 2 : whole : RUN].contiguous(), modes)[0]  # (N / RUN,)
    index = torch.zeros(count, dtype=torch.int64, device=points.device)
    cosine = points.new_full((count,), -1.0)  # of those after the last runs, too
    for here in _chunks(points[:, :whole], MANY):
        part = points[:, here].unflatten(1, (-1, RUN * BESIDE)).transpose(0, 1)  # (b, D, n)
        some = at[here.start // RUN : here.stop // RUN].view(-1, BESIDE)
        along, row = _largest_of(modes[some] @ part, some)  # (b, BESIDE, n)
        index[here], cosine[here] = row.flatten(), along.flatten()
    cosine[:whole] /= (lengths(points) if length is None else length)[:whole]
    next_mode = angles((modes @ modes.T).fill_diagonal_(-1)).amin(1)  # (M,)
    limit = ((next_mode / 2).cos() + SURE).index_select(0, index)
    unsure = (cosine < limit).nonzero()[:, 0]
    index[unsure], cosine[unsure] = nearest_modes(take(points, unsure), modes)
    return index, cosine


def _largest_of(table: Tensor, name: Tensor) -> tuple[Tensor, Tensor]:
    """Largest entry of each column of ``(b, M, n)``, which is used up, and the name of its row.

    Args:
        table: a few rows.
        name: ``(b, M)`` int64, below 2^24; the same name may come twice.
    """
    best = table.amax(1)
    label = table.eq_(best[:, None]).mul_(name[..., None] + 1).amax(1)
    return best, label.long() - 1


def take(points: Tensor, index: Tensor) -> Tensor:
    """Columns ``(D, n)`` of points ``(D, N)``, by all threads; ``index_select`` goes by one."""
    return points.gather(1, index.expand(len(points), -1))


def _at_once(modes: Tensor) -> int:
    """Pixels to compare with so many modes."""
    return max(min(TABLE // len(modes), CHUNK), CHUNK // 16)


def _chunks(points: Tensor, step: int) -> Iterator[slice]:
    """Stretches of points ``(D, N)``; on a CPU as many as stay in the cache."""
    step = step if points.device.type == "cpu" else 64 * CHUNK
    for first in range(0, points.shape[1], step):
        yield slice(first, min(first + step, points.shape[1]))


def lengths(points: Tensor) -> Tensor:
    """``(N,)`` of ``(D, N)``, whose rows a CPU adds up fastest one by one, if each is in one piece.

    Many pixels are read once then, and no square of theirs is written.
    """
    if points.device.type != "cpu" or points.stride(1) != 1 or points.shape[1] < MANY:
        return points.square().sum(0).sqrt_().clamp_min_(1e-12)
    total = points.new_zeros(points.shape[1])
    for row in points:
        total.addcmul_(row, row)
    return total.sqrt_().clamp_min_(1e-12)


def angles(cosine: Tensor) -> Tensor:
    """Radians."""
    return cosine.clamp(-1, 1).acos()
