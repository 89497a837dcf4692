"""The grouping pipeline with a kernel radius: cells of the map shift within windows.

sample: the mean direction of the pixels of each cell stands for them
shift: blocks of cells in doubt shift towards the cells in their window
find: neighbouring cells whose cosine is above the margin are one group
assign: a pixel takes the group of the most similar of the 3 x 3 cells around it

See :mod:`congeal.grouping.pipeline` for the call, and the page "Grouping on the sphere".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from congeal.grouping.components import connect
from congeal.sphere import normalise

__all__ = ["Cells", "assign_around", "join_cells", "sample_cells", "shift_cells"]

CELL_SIGMAS = 0.75  # side of a cell in standard deviations of the kernel in space
MAX_CELL = 4  # px, largest side of a cell: an object of 16 px fills one
CUT_SIGMAS = 2.0  # standard deviations from which on the kernel in space is 0
BLOCK_CELLS = 4  # side of a block in cells; the queries of a block share a window
BLOCKS_PER_PRODUCT = 128  # windows and weights of D = 16 fit in 2 MB of cache
MIN_LOG_WEIGHT = -60.0  # next to the weight 1 of a point for itself; avoids denormal numbers
AGREE = 0.001  # of the gap 1 - margin: pairs closer to 1 agree and take no step
DISAGREE = 0.6  # of the gap 1 - margin: pairs further below the margin differ and take no step
STEPS = 20  # at most; with more, groups at rest attract each other
BLOCK_REST = 3e-3  # coordinate: a block that moves less rests, until a block beside it moves
PIXELS_PER_PRODUCT = 65_536  # pixels compared at once with the cells around them


@dataclass(frozen=True)
class Cells:
    """One point for each cell of a map.

    Attributes:
        points: ``(*C, D)`` unit vectors; zero where a cell has no pixel.
        mass: ``(*C)`` of all pixels of the cell.
        side: of a cell, in pixels.
    """

    points: Tensor
    mass: Tensor
    side: int


def sample_cells(embedding: Tensor, mass: Tensor, sigma: float, margin: float) -> Cells:
    """Represent the pixels of each cell by one point with their mass.

    The point is the mean direction of the pixels whose cosine to the heaviest pixel of the cell is
    above the margin: where a cell lies across a border, the mean of all its pixels would lie
    between two groups and join them.

    Args:
        embedding: ``(D, *S)`` unit vectors.
        mass: ``(*S)`` of each pixel; 0 for those that take no part.
        sigma: standard deviation of the kernel in space, in pixels.
        margin: cosine above which two pixels agree.

    Example:
        >>> embedding = torch.tensor([[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]])
        >>> cells = sample_cells(embedding, torch.tensor([[2.0, 4.0, 3.0]]), 4.0, 0.5)
        >>> cells.side, cells.points.tolist(), cells.mass.tolist()
        (3, [[[1.0, 0.0]]], [[9.0]])
    """
    side = max(1, int(min(CELL_SIGMAS * sigma, MAX_CELL)))
    masses = _cut(mass, side, mass.ndim)  # (*C, side^n)
    pixels = _cut(embedding, side, mass.ndim)  # (D, *C, side^n)
    best = masses.argmax(-1, keepdim=True).expand(*pixels.shape[:-1], 1)
    cosine = (pixels * pixels.gather(-1, best)).sum(0)
    sums = (pixels * (masses * (cosine > margin))).sum(-1)
    points = normalise(sums.movedim(0, -1), dim=-1).contiguous()
    return Cells(points, masses.sum(-1), side)


def _cut(values: Tensor, side: int, axes: int) -> Tensor:
    """``(..., *S)`` to ``(..., *C, side^n)``: the pixels of each cell, zeros beyond the map."""
    size = values.shape[values.ndim - axes :]
    values = pad(values, [part for one in reversed(size) for part in (0, -one % side)])
    for axis in range(values.ndim - axes, values.ndim):
        values = values.unfold(axis, side, side)
    return values.flatten(-axes)


def shift_cells(
    cells: Cells,
    *,
    concentration: float,
    margin: float,
    sigma: float,
    eta: float = 1.0,
    steps: int = STEPS,
) -> Tensor:
    """Shift cells until all pairs of neighbours agree or differ clearly.

    A step is that of :func:`congeal.grouping.mean_shift_step` with a location, cut off at two
    standard deviations. Only blocks in doubt take it: blocks with a pair of neighbours whose
    cosine is neither close to 1 nor far below the margin, where a block moved in the last step.
    The other blocks keep their place and attract from there. The cost of a step is (cells in
    doubt) x (cells in a window) x D.

    Args:
        cells: to shift.
        concentration: kappa.
        margin: cosine from which on neighbours agree.
        sigma: standard deviation of the kernel in space, in pixels.
        eta: step length in (0, 1].
        steps: at most.

    Returns:
        ``(*C, D)`` unit vectors; cells without mass have no meaning.

    Example:
        >>> points = normalise(torch.tensor([[1.0, 0.4], [1.0, -0.4], [-1.0, 0.0]]), dim=1)
        >>> cells = Cells(points, torch.ones(3), 1)
        >>> settled = shift_cells(cells, concentration=9, margin=0.8, sigma=2)
        >>> (settled[0] @ settled[1]).item() > 0.9, (settled[0] @ settled[2]).item() < -0.9
        (True, True)
    """
    grid = _WindowGrid.over(cells, sigma)
    moved = torch.ones(grid.blocks, dtype=torch.bool, device=cells.mass.device)
    for _ in range(steps):
        blocks = grid.in_doubt(_dilate(moved), margin)
        if not bool(blocks.any()):
            break
        moved = grid.step(blocks, concentration, eta)
    return grid.inner(cells.mass.shape)


class _WindowGrid:
    """Cells in blocks, with an empty border so that every window lies inside the arrays."""

    def __init__(self, points: Tensor, mass: Tensor, halo: int, fall: Tensor) -> None:
        # points (*P, D) and mass (*P), both with the edge; fall (Q, M)
        axes, strides = mass.ndim, mass.stride()
        self.size, self.halo, self.fall = points.shape, halo, fall
        self.points, self.mass = points.view(-1, points.shape[-1]), mass.reshape(-1, 1)
        self.blocks = [(side - 2 * halo) // BLOCK_CELLS for side in mass.shape]
        self.corner = _box(self.blocks, strides, mass.device) * BLOCK_CELLS
        self.window = _box([BLOCK_CELLS + 2 * halo] * axes, strides, mass.device).flatten()
        first = halo * sum(strides)
        self.queries = _box([BLOCK_CELLS] * axes, strides, mass.device).flatten() + first
        self.touching = _box([BLOCK_CELLS + 2] * axes, strides, mass.device) + first - sum(strides)

    @classmethod
    def over(cls, cells: Cells, sigma: float) -> _WindowGrid:
        """Lay the cells out, with an edge of two standard deviations."""
        size = cells.mass.shape
        sigma = sigma / cells.side  # in cells
        halo = min(math.ceil(CUT_SIGMAS * sigma), max(size))
        edge = [part for side in reversed(size) for part in (halo, halo + -side % BLOCK_CELLS)]
        fall = _fall(halo, len(size), sigma).to(cells.points)
        return cls(pad(cells.points, [0, 0, *edge]), pad(cells.mass, edge), halo, fall)

    def inner(self, size: torch.Size) -> Tensor:
        """``(*C, D)`` points without the edge."""
        return self.points.view(self.size)[tuple(slice(self.halo, self.halo + n) for n in size)]

    def in_doubt(self, asked: Tensor, margin: float) -> Tensor:
        """``(*blocks)`` bool: those of the blocks asked for that have a pair of cells in doubt."""
        high, low = 1 - AGREE * (1 - margin), margin - DISAGREE * (1 - margin)
        found = torch.zeros_like(asked)
        corners = self.corner[asked]
        if len(corners):
            parts = [
                self._doubts(some, low, high) for some in corners.split(8 * BLOCKS_PER_PRODUCT)
            ]
            found[asked] = torch.cat(parts)
        return found

    def _doubts(self, corners: Tensor, low: float, high: float) -> Tensor:
        """``(b,)`` bool, of a few blocks."""
        axes = self.touching.ndim
        at = (corners.view(-1, *[1] * axes) + self.touching).flatten()
        shape = (len(corners), *self.touching.shape)
        points = self.points.index_select(0, at).view(*shape, -1)
        on = (self.mass.index_select(0, at) > 0).view(shape)
        doubt = corners.new_zeros(len(corners), dtype=torch.bool)
        for axis in range(1, axes + 1):
            others = [slice(1, -1)] * axes  # pairs of which one lies in the block
            pairs = []
            for part in (slice(0, -1), slice(1, None)):
                others[axis - 1] = part
                pairs.append((slice(None), *others))
            one, other = pairs
            cosine = (points[one] * points[other]).sum(-1)
            pair = (cosine > low) & (cosine < high) & on[one] & on[other]
            doubt |= pair.flatten(1).any(1)
        return doubt

    def step(self, blocks: Tensor, concentration: float, eta: float) -> Tensor:
        """Move the cells of some blocks at once; ``(*blocks)`` bool: the blocks that moved."""
        corners = self.corner[blocks]
        parts = [
            self._moved(some, concentration, eta) for some in corners.split(BLOCKS_PER_PRODUCT)
        ]
        at = (corners[:, None] + self.queries).flatten()
        after = torch.cat(parts)  # (b, Q, D)
        change = (after - self.points[at].view_as(after)).abs().flatten(1).amax(1)
        self.points[at] = after.flatten(0, 1)
        moved = torch.zeros_like(blocks)
        moved[blocks] = change > BLOCK_REST
        return moved

    def _moved(self, corners: Tensor, concentration: float, eta: float) -> Tensor:
        """``(b, Q, D)`` new points of the cells of these blocks."""
        around = (corners[:, None] + self.window).flatten()
        shape = (len(corners), -1, self.points.shape[1])
        keys = self.points.index_select(0, around).view(shape)
        mass = self.mass.index_select(0, around).view(len(corners), -1, 1)
        at = (corners[:, None] + self.queries).flatten()
        query = self.points.index_select(0, at).view(shape)
        kernel = torch.baddbmm(self.fall - concentration, query, keys.mT, alpha=concentration)
        if 2 * concentration > -MIN_LOG_WEIGHT:
            kernel.clamp_min_(MIN_LOG_WEIGHT)
        kernel.exp_()  # (b, Q, M)
        sums = kernel @ (keys * mass)
        if eta != 1.0:
            sums = eta * sums / (kernel @ mass) + (1 - eta) * query
        return normalise(sums, dim=-1)


def _dilate(blocks: Tensor) -> Tensor:
    """These blocks and the blocks that touch them."""
    return _largest_around(blocks.to(torch.uint8)).bool()


def _box(sides: list[int], strides: tuple[int, ...], device: torch.device) -> Tensor:
    """Flat index of each place in a box ``(*sides)`` of an array with these strides."""
    index = torch.zeros((), dtype=torch.int64, device=device)
    for side, stride in zip(sides, strides, strict=True):
        index = index[..., None] + torch.arange(side, device=device) * stride
    return index


def _fall(halo: int, axes: int, sigma: float) -> Tensor:
    """``(Q, M)`` logarithm of the kernel in space, from the cells of a block to its window."""
    window = torch.cartesian_prod(*[torch.arange(BLOCK_CELLS + 2 * halo).double()] * axes)
    queries = torch.cartesian_prod(*[torch.arange(BLOCK_CELLS).double() + halo] * axes)
    apart = torch.cdist(queries.view(-1, axes), window.view(-1, axes))
    return -0.5 * (apart / sigma).square()


def join_cells(points: Tensor, mass: Tensor, margin: float) -> Tensor:
    """Label connected components of agreeing neighbours.

    Args:
        points: ``(*C, D)`` unit vectors at rest.
        mass: ``(*C)``; cells without mass have no group.
        margin: cosine above which two agree.

    Returns:
        ``(*C)`` int64, 0 for none, else 1..K.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        >>> join_cells(points, torch.tensor([1.0, 1.0, 1.0, 0.0]), 0.5).tolist()
        [1, 1, 2, 0]
    """
    joined = []
    for axis, size in enumerate(mass.shape):
        here, there = points.narrow(axis, 0, size - 1), points.narrow(axis, 1, size - 1)
        joined.append(((here * there).sum(-1) > margin).cpu().numpy())
    labels = connect((mass > 0).cpu().numpy(), *joined)
    return torch.from_numpy(labels).to(mass.device)


def assign_around(
    labels: Tensor,
    points: Tensor,
    places: Tensor,
    side: int,
    read: Callable[[Tensor], Tensor],
) -> Tensor:
    """Assign pixels the label of the most similar cell around them.

    Where all cells around a pixel have the same label, the pixel takes it without a comparison. So
    the cost is 3^n comparisons for each pixel near a border.

    Args:
        labels: ``(*C)`` int64, 0 for none.
        points: ``(*C, D)`` vectors of the cells.
        places: ``(N, n)`` int64 pixels.
        side: of a cell, in pixels.
        read: embedding ``(m, D)`` of some of the pixels, by their index ``(m,)``.

    Returns:
        ``(N,)`` int64, 0 where no cell around has a label.

    Example:
        >>> labels, places = torch.tensor([1, 2]), torch.arange(4)[:, None]
        >>> vectors = torch.tensor([[1.0, 0.0], [0.9, 0.0], [0.8, 0.1], [0.0, 1.0]])
        >>> assign_around(labels, torch.eye(2), places, 2, lambda index: vectors[index]).tolist()
        [1, 1, 1, 2]
    """
    axes, dimensions = labels.ndim, points.shape[-1]
    padded = pad(labels, [1, 1] * axes)
    flat, strides = padded.flatten(), padded.stride()
    vectors = pad(points, [0, 0, *[1, 1] * axes]).flatten(0, axes - 1)
    cell = ((places // side + 1) * places.new_tensor(strides)).sum(1)
    top, sole = (part.flatten()[cell] for part in _sole_label(padded))
    asked = (~sole).nonzero()[:, 0]
    steps = _box([3] * axes, strides, labels.device).flatten() - sum(strides)
    steps = steps[steps.abs().argsort(stable=True)]  # of equal cells the nearer one
    for some in asked.split(PIXELS_PER_PRODUCT):
        near = cell[some, None] + steps  # (m, 3^n)
        candidate = flat[near]
        around = vectors[near.flatten()].view(*near.shape, dimensions)
        likeness = (around @ read(some)[..., None])[..., 0]
        best = likeness.masked_fill_(candidate == 0, -torch.inf).argmax(1, keepdim=True)
        top[some] = candidate.gather(1, best)[:, 0]
    return top


def _sole_label(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The largest label around each cell, and whether it is the only one except 0."""
    most = torch.iinfo(labels.dtype).max
    top = _largest_around(labels)
    bottom = -_largest_around(-labels.masked_fill(labels == 0, most))
    return top, (top == bottom) | (top == 0)


def _largest_around(values: Tensor) -> Tensor:
    """The largest of each place and those that touch it, along each axis."""
    for axis, size in enumerate(values.shape):
        here, there = values.narrow(axis, 0, size - 1), values.narrow(axis, 1, size - 1)
        larger = torch.maximum(here, there)
        values = values.clone()
        values.narrow(axis, 0, size - 1).copy_(larger)
        rest = values.narrow(axis, 1, size - 1)
        rest.copy_(torch.maximum(rest, larger))
    return values
