"""Spherical k-means over embedding and location, the pixel sorting of SegSort (ICCV 2019)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from congeal.autograd import full_precision
from congeal.errors import CongealError
from congeal.grouping.groups import Groups, OverBatch, groups_from_labels, take_pixels
from congeal.sphere import normalise

__all__ = ["SphericalKMeans"]

SIMILARITY_BUDGET = 2**20  # similarities of pixels to centres around them held at once
CACHED = 2**18  # similarities of pixels to all centres held at once; 1 MB stays in the cache

Block = tuple[Tensor, ...]


@dataclass(frozen=True)
class SphericalKMeans(OverBatch):
    """Cuts an image into segments of similar embedding and near location (SegSort, section 3.2).

    Every pixel has the feature normalise([v, w y, w x]), with v its unit embedding and y, x its
    place in [0, 1). The clusters start as a grid of cells; then the M step takes the mean
    direction of each cluster and the E step assigns each pixel to the nearest direction, a fixed
    number of times (fewer if nothing changes any more). Clusters that lose all their mass vanish.
    Location takes part in the clustering only, never in the prototypes, which carry gradient.

    With ``search``, a pixel is compared only with the clusters that started at most ``search``
    cells away along every axis, as in SLIC (Achanta et al., 2012). The cost then does not
    grow with the number of clusters.

    Args:
        grid: cells along each axis, one number or one for each; a cell has ceil(side / grid)
            pixels, so narrow images have fewer cells. The paper's code takes 5, later 6.
        steps: number of M and E steps.
        location_weight: w, the weight of the location; 0 clusters by embedding alone.
        search: how many cells away a cluster may have started; None: anywhere.

    Raises:
        CongealError: a value is out of range.

    Example:
        >>> embedding = torch.zeros(2, 4, 8)
        >>> embedding[0, :, :5], embedding[1, :, 5:] = 1, 1
        >>> SphericalKMeans(grid=2, location_weight=0.0).group(embedding).labels[0].tolist()
        [1, 1, 1, 1, 1, 2, 2, 2]
    """

    grid: int | tuple[int, ...] = 5
    steps: int = 10
    location_weight: float = 1.0
    search: int | None = None

    def __post_init__(self) -> None:
        cells = self.grid if isinstance(self.grid, tuple) else (self.grid,)
        if not cells or min(cells) < 1 or self.steps < 0:
            raise CongealError(f"expected grid >= 1 and steps >= 0, got {self.grid}, {self.steps}")
        if not (self.location_weight >= 0 and math.isfinite(self.location_weight)):
            raise CongealError(f"expected location_weight >= 0, got {self.location_weight}")
        if self.search is not None and self.search < 0:
            raise CongealError(f"expected search >= 0 or None, got {self.search}")

    @full_precision
    def group(
        self,
        embedding: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        location: Tensor | None = None,
    ) -> Groups:
        """Cut one image into segments.

        Args:
            embedding: ``(D, *S)``, any length (it is normalised here).
            mask: ``(*S)`` bool, the pixels to group; None: all.
            weights: ``(*S)`` mass of each pixel in the means; None: all the same. Pixels of mass
                0 follow the others; where no pixel has any mass there are no groups.
            location: ``(n, *S)`` place of each pixel along each axis, in [0, 1), where the image
                is a crop of a larger one; None: its place in what is given.

        Returns:
            The segments, largest first, with prototypes of length one.

        Raises:
            CongealError: shapes do not fit, a value is not finite, or a weight is negative.
        """
        embedding, kept, mass = take_pixels(embedding, mask, weights)
        unit = normalise(embedding, dim=0)
        with torch.no_grad():
            place = _location(unit) if location is None else self._checked(location, unit)
            labels = self._cluster(unit.detach(), kept, mass, place)
        return groups_from_labels(labels, unit, weights=None if weights is None else mass)

    def _checked(self, location: Tensor, unit: Tensor) -> Tensor:
        wanted = (unit.ndim - 1, *unit.shape[1:])
        if tuple(location.shape) != wanted:
            raise CongealError(f"expected location {wanted}, got {tuple(location.shape)}")
        return location.to(unit)

    def _cluster(self, unit: Tensor, kept: Tensor, mass: Tensor, location: Tensor) -> Tensor:
        """``(*S)`` int64: 1 + the cell in which the pixel's cluster started, 0 for no cluster."""
        if not bool((mass > 0).any()):
            return torch.zeros_like(kept, dtype=torch.int64)
        cells = _Cells.over(unit.shape[1:], self.grid)
        points = torch.cat([unit, self.location_weight * location])  # (E, *S)
        points /= points.square().sum(0).clamp_min(1e-24).sqrt()
        near = cells.near(self.search, unit)
        if near is None:
            start = cells.numbers(unit.device)
            sweep = _Sweep(
                points.flatten(1), mass.flatten(), start.flatten(), math.prod(cells.count)
            )
            cluster = sweep.run(self.steps).reshape(kept.shape)
        else:
            around = _NearSweep(cells.cut(points), cells.cut(mass[None])[..., 0], near)
            cluster = cells.join(around.run(self.steps))
        return torch.where(kept, cluster + 1, 0)


def _location(like: Tensor) -> Tensor:
    """``(n, *S)`` place of every pixel of a ``(D, *S)`` map, in [0, 1) along each axis."""
    axes = [torch.arange(side, device=like.device).to(like.dtype) / side for side in like.shape[1:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


@dataclass(frozen=True)
class _Cells:
    """A grid of C cells of P pixels over an image; the last cells extend past its edge."""

    size: tuple[int, ...]
    side: tuple[int, ...]  # pixels of a cell along each axis
    count: tuple[int, ...]  # cells along each axis

    @staticmethod
    def over(size: torch.Size, grid: int | tuple[int, ...]) -> _Cells:
        cells = grid if isinstance(grid, tuple) else (grid,) * len(size)
        if len(cells) != len(size):
            raise CongealError(f"expected a grid of {len(size)} axes, got {grid}")
        side = [math.ceil(length / most) for length, most in zip(size, cells, strict=True)]
        count = [math.ceil(length / one) for length, one in zip(size, side, strict=True)]
        return _Cells(tuple(size), tuple(side), tuple(count))

    def cut(self, image: Tensor) -> Tensor:
        """``(E, *S)`` to ``(C, P, E)``, 0 beyond the edge."""
        over = [c * s - n for c, s, n in zip(self.count, self.side, self.size, strict=True)]
        image = pad(image, [value for extra in reversed(over) for value in (0, extra)])
        shape = itertools.chain.from_iterable(zip(self.count, self.side, strict=True))
        whole = image.reshape(len(image), *shape)  # (E, c1, s1, c2, s2, ...)
        dims = len(self.size)
        order = [*range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2), 0]
        return whole.permute(order).reshape(math.prod(self.count), -1, len(image)).contiguous()

    def join(self, cells: Tensor) -> Tensor:
        """``(C, P)`` to ``(*S)``."""
        dims = len(self.size)
        order = itertools.chain.from_iterable((axis, dims + axis) for axis in range(dims))
        whole = cells.reshape(*self.count, *self.side).permute(*order)
        padded = [c * s for c, s in zip(self.count, self.side, strict=True)]
        return whole.reshape(padded)[tuple(slice(length) for length in self.size)]

    def numbers(self, device: torch.device) -> Tensor:
        """``(*S)`` int64 the cell 0..C-1 that each pixel lies in."""
        found = torch.zeros((1,) * len(self.size), dtype=torch.int64, device=device)
        for axis, (length, side) in enumerate(zip(self.size, self.side, strict=True)):
            shape = [-1 if other == axis else 1 for other in range(len(self.size))]
            along = torch.arange(length, device=device).reshape(shape) // side
            found = found * self.count[axis] + along
        return found

    def near(self, search: int | None, like: Tensor) -> Tensor | None:
        """``(C, Q)`` the cells around each, ascending, C where there is none; None for all."""
        if search is None or search >= max(self.count) - 1:
            return None
        reach = [torch.arange(-search, search + 1, device=like.device) for _ in self.count]
        axes = [torch.arange(count, device=like.device) for count in self.count]
        offset = torch.stack(torch.meshgrid(*reach, indexing="ij"), -1).reshape(-1, len(axes))
        cell = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 1, len(axes))
        around = cell + offset  # (C, Q, n)
        limit = torch.tensor(self.count, device=like.device)
        inside = ((around >= 0) & (around < limit)).all(2)
        step = torch.tensor(
            [math.prod(self.count[axis + 1 :]) for axis in range(len(axes))], device=like.device
        )
        return torch.where(inside, (around * step).sum(2), len(cell))


class _Sweep:
    """The M and E steps in which a pixel is compared with every cluster, a block at a time.

    The sums of the next M step are gathered while the scores of a block are in the cache, as
    products with the one-hot assignment, which have a fixed order of summation on every device.
    Pixels lie along the columns for the scores and along the rows for the sums: either product
    takes twice as long in the other layout.
    """

    def __init__(self, points: Tensor, mass: Tensor, start: Tensor, count: int) -> None:
        self.count = count
        self.even = bool((mass == 1).all())
        block = max(1, CACHED // count)
        rows = torch.cat([points.T, torch.ones_like(mass)[:, None]], 1)  # (N, E + 1)
        rows = rows if self.even else rows * mass[:, None]
        self.start = start.split(block)
        self.blocks: list[Block] = list(zip(points.split(block, 1), rows.split(block), strict=True))

    def run(self, steps: int) -> Tensor:
        """``(N,)`` the cluster 0..C-1 of each pixel after so many steps."""
        if not steps:
            return torch.cat(self.start)
        heavy = self._started()
        for _ in range(steps - 1):
            moved = self._moved(heavy)
            if torch.equal(moved, heavy):
                break
            heavy = moved
        number = torch.arange(self.count, device=heavy.device).to(heavy.dtype)
        centres, dead = self._centres(heavy)
        found = [number @ self._share(block, centres, dead)[0] for block in self.blocks]
        return torch.cat(found).to(torch.int64)

    def _started(self) -> Tensor:
        """Sums and masses ``(C, E + 1)`` of the clusters that the iterations start from."""
        heavy = torch.zeros_like(self.blocks[0][1][:1]).repeat(self.count, 1)
        for start, (_, rows) in zip(self.start, self.blocks, strict=True):
            one_hot = rows.new_zeros(self.count, len(rows)).scatter_(0, start[None], 1.0)
            heavy += one_hot @ rows
        return heavy

    def _moved(self, heavy: Tensor) -> Tensor:
        """The same after an M and an E step."""
        centres, dead = self._centres(heavy)
        moved = torch.zeros_like(heavy)
        for block in self.blocks:
            moved += self._share(block, centres, dead)[1]
        return moved

    def _centres(self, heavy: Tensor) -> tuple[Tensor, Tensor | None]:
        """Directions ``(C, E)``, and which clusters have vanished; None for none."""
        centres, alive = _centres(heavy)
        return centres, None if bool(alive.all()) else ~alive

    def _share(self, block: Block, centres: Tensor, dead: Tensor | None) -> tuple[Tensor, Tensor]:
        """One-hot assignment ``(C, n)`` of a block, and the sums that come of it.

        The largest score of a column is found, and compared with, a whole row at a time, which is
        several times as fast as an argmax; where two scores are equal, one decides after all.
        """
        points, rows = block  # (E, n), (n, E + 1)
        score = centres @ points  # (C, n)
        if dead is not None:
            score[dead] = -torch.inf
        share = score.ge_(score.amax(0, keepdim=True))
        sums = share @ rows
        if float((sums[:, -1] if self.even else share).sum()) > len(rows):
            count = torch.arange(len(share), 0, -1, device=share.device)
            best = (share * count[:, None]).argmax(0)  # of equals the first
            share.zero_().scatter_(0, best[None], 1.0)
            sums = share @ rows
        return share, sums


class _NearSweep:
    """The M and E steps in which a pixel is compared with the clusters that started around it."""

    def __init__(self, points: Tensor, mass: Tensor, near: Tensor) -> None:
        self.points, self.mass, self.near = points, mass, near  # (C, P, E), (C, P), (C, Q)
        cells = max(1, SIMILARITY_BUDGET // (points.shape[1] * near.shape[1]))
        parts = (points, mass, near)
        self.blocks: list[Block] = list(zip(*(part.split(cells) for part in parts), strict=True))

    def run(self, steps: int) -> Tensor:
        """``(C, P)`` the cluster 0..C-1 of each pixel after so many steps."""
        count, size, _ = self.points.shape
        cluster = torch.arange(count, device=self.points.device)[:, None].expand(count, size)
        if not steps:
            return cluster
        weight = self.mass[..., None]  # (C, P, 1)
        heavy = torch.cat([(weight.mT @ self.points)[:, 0], weight.sum(1)], 1)  # (C, E + 1)
        heavy = torch.cat([heavy, torch.zeros_like(heavy[:1])])  # the last is no cluster
        for _ in range(steps - 1):
            moved, _ = self._step(*_centres(heavy))
            if torch.equal(moved, heavy):
                break
            heavy = moved
        centres, alive = _centres(heavy)
        found = self._step(centres, alive)[1].reshape(self.mass.shape)
        self._rescue(found, centres, alive)
        return found

    def _step(self, centres: Tensor, alive: Tensor) -> tuple[Tensor, Tensor]:
        """The E step: sums and masses ``(C + 1, E + 1)`` for the M step, the clusters of pixels."""
        heavy = centres.new_zeros(len(centres), centres.shape[1] + 1)
        barred = torch.where(alive, 0.0, -torch.inf).to(centres.dtype)
        chosen = [self._near(block, centres, barred, heavy) for block in self.blocks]
        return heavy, torch.cat(chosen)

    def _near(self, block: Block, centres: Tensor, barred: Tensor, heavy: Tensor) -> Tensor:
        """A block of cells compared with the clusters around them; the clusters of all pixels."""
        points, mass, near = block  # (c, P, E), (c, P), (c, Q)
        score = (points @ centres[near].mT).add_(barred[near][:, None])  # (c, P, Q)
        best = score.argmax(2, keepdim=True)  # of equals the first
        chosen = near.gather(1, best[..., 0])
        share = score.zero_().scatter_(2, best, mass[..., None])
        sums = torch.cat([share.mT @ points, share.sum(1)[..., None]], 2)  # (c, Q, E + 1)
        heavy.index_add_(0, near.flatten(), sums.flatten(0, 1))
        return chosen.flatten()

    def _rescue(self, cluster: Tensor, centres: Tensor, alive: Tensor) -> None:
        """Give pixels around which every cluster has vanished to the nearest one anywhere.

        A pixel with mass keeps its own cluster alive, so these have none.
        """
        lost = ~alive[cluster]
        if bool(lost.any()):
            living = alive.nonzero()[:, 0]
            score = self.points[lost] @ centres[living].T
            cluster[lost] = living[score.argmax(1)]


def _centres(heavy: Tensor) -> tuple[Tensor, Tensor]:
    """Directions ``(C, E)`` of sums with their mass ``(C, E + 1)``, and which have any."""
    return normalise(heavy[:, :-1], dim=1), heavy[:, -1] > 0
