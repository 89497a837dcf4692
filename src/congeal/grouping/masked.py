"""The pixels of an image that are to be grouped, in a row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from congeal.grouping.groups import check_finite, check_shapes
from congeal.grouping.nearest import lengths, take

__all__ = ["Pixels", "pixel_grid", "pixel_mass", "read_pixels"]

LIGHTEST = 1e-6  # mass of a pixel


@dataclass(frozen=True, eq=False)
class Pixels:
    """Those inside the mask, and where they are.

    Attributes:
        image: ``(D, *S)`` the embedding, float32 or float64.
        inside: ``(N,)`` int64, where the pixels are in the flattened image; None for all of them.
        length: ``(N,)`` of the embedding of each.
        mass: ``(N,)`` of each, above 0; None if each counts as one.

    Example:
        >>> pixels = read_pixels(torch.ones(1, 2, 2), torch.tensor([[True, False], [True, True]]))
        >>> pixels.inside.tolist(), pixels.lay_out(torch.tensor([5, 6, 7]), outside=0).tolist()
        ([0, 2, 3], [[5, 0], [6, 7]])
    """

    image: Tensor
    inside: Tensor | None
    length: Tensor
    mass: Tensor | None

    def __len__(self) -> int:
        """How many pixels are grouped."""
        return len(self.length)

    @cached_property
    def points(self) -> Tensor:
        """``(D, N)`` their embedding, of any length."""
        points = self.image.flatten(1)
        return points if self.inside is None else take(points, self.inside)

    def some(self, index: Tensor) -> Tensor:
        """``(D, n)`` the embedding of some of the pixels, by their number in the row."""
        return take(self.image.flatten(1), index if self.inside is None else self.inside[index])

    def pick(self, image: Tensor) -> Tensor:
        """``(N,)`` of ``(*S)``, what is said of these pixels."""
        return image.flatten() if self.inside is None else image.flatten()[self.inside]

    def lay_out(self, values: Tensor, outside: float) -> Tensor:
        """``(*S)`` of ``(N,)``, another value outside the mask."""
        size = self.image.shape[1:]
        if self.inside is None:
            return values.view(size)
        image = values.new_full((size.numel(),), outside)
        image[self.inside] = values
        return image.view(size)


def read_pixels(
    embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
) -> Pixels:
    """The pixels of an embedding ``(D, *S)`` in a mask ``(*S)``, of some mass ``(*S)``.

    Raises:
        CongealError: shapes do not fit, or a number of the embedding is not finite.

    Example:
        See :class:`Pixels`.
    """
    check_shapes(embedding, mask, weights)
    image = embedding if embedding.dtype == torch.float64 else embedding.float()
    length = lengths(image.flatten(1))  # not finite if a number is not: all are read only once
    if not bool(length.isfinite().all()):
        check_finite(embedding)
    mass = None if weights is None else weights.flatten().to(image.dtype).clamp_min(LIGHTEST)
    if mask is None or bool(mask.bool().all()):
        return Pixels(image, None, length, mass)
    inside = mask.flatten().bool().nonzero()[:, 0]
    mass = None if mass is None else mass[inside]
    return Pixels(image, inside, length[inside], mass)


def pixel_mass(points: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor | None:
    """Mass ``(B, N)`` of each pixel, 0 outside the mask; None where all are alike."""
    mass = None if weights is None else weights.flatten(1).to(points.dtype)
    if mask is None:
        return mass
    kept = mask.flatten(1).to(points.dtype)
    return kept if mass is None else mass * kept


def pixel_grid(size: torch.Size, like: Tensor) -> Tensor:
    """``(N, n)`` positions of the pixels of a map of this size."""
    axes = [torch.arange(side, dtype=like.dtype, device=like.device) for side in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(size))
