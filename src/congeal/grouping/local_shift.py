"""Mean shift where each pixel looks only around itself: linear in the size of the image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

from congeal.errors import CongealError
from congeal.sphere import normalise

__all__ = ["local_mean_shift"]

BLOCK = 8  # side of a block of queries, in pixels of the map
KEY = 2  # each KEY x KEY cell lends its heaviest pixel as a key
BATCH = 2048  # blocks worked on at once


@dataclass(frozen=True)
class _Windows:
    """What does not change from step to step: where queries and keys lie."""

    queries: Tensor  # (blocks, BLOCK^2) flat index of pixels
    keys: Tensor  # (blocks, M) flat index of pixels
    bias: Tensor  # (blocks, M) log mass of each key, and its distance term
    query_place: Tensor  # (blocks, BLOCK^2, 2)
    key_place: Tensor  # (blocks, M, 2)

    def select(self, blocks: Tensor | slice) -> _Windows:
        """The blocks chosen."""
        fields = (self.queries, self.keys, self.bias, self.query_place, self.key_place)
        return _Windows(*(field[blocks] for field in fields))

    def batches(self) -> Iterator[_Windows]:
        """Blocks in handfuls that fit in memory."""
        for start in range(0, len(self.queries), BATCH):
            yield self.select(slice(start, start + BATCH))


def local_mean_shift(
    embedding: Tensor,
    mass: Tensor,
    *,
    concentration: float,
    reach: float,
    steps: int = 20,
    tolerance: float = 1e-3,
) -> Tensor:
    """Shift a map of embeddings to convergence with a kernel that also falls off in the image.

    The same kernel as :class:`congeal.grouping.MeanShift` with ``reach``, cut off at the reach,
    with keys thinned to the heaviest pixel of each 2 x 2 cell (which carries the cell's mass).

    Args:
        embedding: ``(D, H, W)`` unit vectors.
        mass: ``(H, W)`` weight of each pixel; pixels of mass 0 do not take part and stay.
        concentration: kappa.
        reach: three standard deviations of the fall-off, in pixels of the map.
        steps: at most.
        tolerance: stop when no pixel moves further than this.

    Returns:
        ``(D, H, W)`` unit vectors.

    Raises:
        CongealError: the concentration or the reach is not above 0 and finite.

    Example:
        >>> embedding = normalise(torch.randn(4, 16, 16, generator=torch.Generator()), dim=0)
        >>> tuple(local_mean_shift(embedding, torch.ones(16, 16), concentration=9, reach=6).shape)
        (4, 16, 16)
    """
    if not (0 < concentration < math.inf and 0 < reach < math.inf):
        raise CongealError(
            f"expected concentration and reach > 0 and finite, got {concentration} and {reach}"
        )
    height, width = mass.shape
    pad = (0, -width % BLOCK, 0, -height % BLOCK)
    mass = functional.pad(mass, pad)
    flat = functional.pad(embedding, pad).flatten(1).T.contiguous()  # (N, D)
    windows = _windows(mass, reach)
    taking_part = mass.reshape(-1) > 0
    for _ in range(steps):
        change = flat.new_zeros(len(flat))
        moved = flat.clone()
        for part in windows.batches():
            before = flat[part.queries]
            step = _step(flat, part, concentration)
            step = torch.where(taking_part[part.queries][..., None], step, before)
            change[part.queries] = (step - before).abs().amax(-1)
            moved[part.queries] = step
        flat = moved
        moving = change > tolerance
        windows = windows.select(moving[windows.keys].any(1) | moving[windows.queries].any(1))
        if not len(windows.queries):  # all that a block looks at is at rest, for every block
            break
    settled: Tensor = flat.T.unflatten(1, mass.shape)[:, :height, :width]
    return settled


def _step(flat: Tensor, windows: _Windows, concentration: float) -> Tensor:
    query, key = flat[windows.queries], flat[windows.keys]  # (b, Q, D), (b, M, D)
    ones = query.new_ones(*query.shape[:2], 1)
    query_all = torch.cat([query * concentration, windows.query_place, ones], -1)
    key_all = torch.cat([key, windows.key_place, windows.bias[..., None]], -1)
    value = torch.cat([key, torch.zeros_like(key_all[..., key.shape[-1] :])], -1)
    mean = scaled_dot_product_attention(
        query_all[:, None], key_all[:, None], value[:, None], scale=1.0
    )[:, 0, :, : query.shape[-1]]
    return normalise(mean, dim=-1)


def _windows(mass: Tensor, reach: float) -> _Windows:
    height, width = mass.shape
    index = torch.arange(mass.numel(), device=mass.device).reshape(height, width)
    rows, columns = height // BLOCK, width // BLOCK
    queries = _tiles(index, BLOCK)
    active = mass.reshape(-1)[queries].amax(1) > 0
    cell_mass, heaviest = _cells(mass, index)
    # In cells, each way; beyond the image there is nothing, however far the kernel reaches.
    halo = -(-round(min(reach, height + width)) // KEY)
    halo = min(halo, -(-max(height, width) // KEY))
    side = BLOCK // KEY + 2 * halo
    padded = functional.pad(heaviest, (halo,) * 4, value=0)
    weight = functional.pad(cell_mass, (halo,) * 4)
    stride = BLOCK // KEY
    keys = padded.unfold(0, side, stride).unfold(1, side, stride).reshape(rows * columns, -1)
    masses = weight.unfold(0, side, stride).unfold(1, side, stride).reshape(rows * columns, -1)
    queries, keys, masses = queries[active], keys[active], masses[active]
    query_place, key_place = _places(queries, keys, width, reach / 3.0)
    bias = masses.clamp_min(1e-30).log() - 0.5 * key_place.square().sum(-1)
    bias = torch.where(masses > 0, bias, bias.new_tensor(-1e4))
    return _Windows(queries, keys, bias, query_place, key_place)


def _tiles(values: Tensor, side: int) -> Tensor:
    return values.unfold(0, side, side).unfold(1, side, side).reshape(-1, side * side)


def _cells(mass: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mass of each cell, and the flat index of its heaviest pixel, both ``(H / KEY, W / KEY)``."""
    masses, places = _tiles(mass, KEY), _tiles(index, KEY)
    best = masses.argmax(1, keepdim=True)
    shape = (mass.shape[0] // KEY, mass.shape[1] // KEY)
    return masses.sum(1).reshape(shape), places.gather(1, best).reshape(shape)


def _places(queries: Tensor, keys: Tensor, width: int, spread: float) -> tuple[Tensor, Tensor]:
    """Rows and columns from the middle of each block, in standard deviations."""

    def of(index: Tensor) -> Tensor:
        return torch.stack([index // width, index % width], -1).float()

    middle = of(queries).mean(1, keepdim=True)
    return (of(queries) - middle) / spread, (of(keys) - middle) / spread
