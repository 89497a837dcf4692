"""What the groupings share: their input checked, their groups collected, a batch gone through."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import normalize

from congeal.errors import CongealError
from congeal.grouping.groups import Groups, check_embedding, groups_from_labels

__all__ = ["OverBatch", "collect_groups", "pixel_grid", "pixel_mass", "take_pixels"]


class OverBatch:
    """Lets whatever groups one image be called with a batch."""

    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Groups:
        """Group the pixels of one image, ``(D, *S)``."""
        raise NotImplementedError

    def __call__(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> list[Groups]:
        """Group each image of a batch: ``(B, D, *S)``, with masks and weights ``(B, *S)``.

        Raises:
            CongealError: there are not as many masks or weights as images, or one does not fit.
        """
        for name, part in (("masks", mask), ("weights", weights)):
            if part is not None and len(part) != len(embedding):
                raise CongealError(f"expected {len(embedding)} {name}, got {len(part)}")
        none = [None] * len(embedding)
        masks = none if mask is None else mask
        masses = none if weights is None else weights
        images = zip(embedding, masks, masses, strict=True)
        return [self.group(one, its_mask, its_mass) for one, its_mask, its_mass in images]


def take_pixels(
    embedding: Tensor, mask: Tensor | None, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Check what a grouping is given, and fill in what is left out.

    Args:
        embedding: ``(D, *S)``.
        mask: ``(*S)`` bool, or None for all pixels.
        weights: ``(*S)`` mass of each pixel, or None for one each.

    Returns:
        The embedding in single precision or better, the mask, and the mass of each pixel in the
        embedding's type, 0 outside the mask.

    Raises:
        CongealError: shapes do not fit, or a value is not finite, or a weight is negative.

    Example:
        >>> embedding, mask, mass = take_pixels(torch.ones(3, 1, 2).half(), None, None)
        >>> embedding.dtype, mask.tolist(), mass.tolist()
        (torch.float32, [[True, True]], [[1.0, 1.0]])
    """
    check_embedding(embedding, mask, weights)
    if embedding.dtype in (torch.float16, torch.bfloat16):
        embedding = embedding.float()
    size = embedding.shape[1:]
    kept = embedding.new_ones(size, dtype=torch.bool) if mask is None else mask.bool()
    mass = embedding.new_ones(size) if weights is None else weights.to(embedding.dtype)
    return embedding, kept, mass * kept


def collect_groups(
    labels: Tensor, embedding: Tensor, weights: Tensor | None = None, *, unit: bool = True
) -> Groups:
    """Number groups largest first, with the weighted mean of each as its prototype.

    A group whose pixels all have weight 0 has their plain mean.

    Args:
        labels: ``(*S)`` int64, 0 or less where there is no group.
        embedding: ``(D, *S)``.
        weights: ``(*S)`` mass of each pixel; None: all the same.
        unit: scale the prototypes to length one.

    Example:
        >>> labels, embedding = torch.tensor([4, 4, 0]), torch.tensor([[1.0, 4.0, 9.0]])
        >>> groups = collect_groups(labels, embedding, torch.tensor([2.0, 1.0, 1.0]), unit=False)
        >>> groups.labels.tolist(), groups.prototypes.tolist()
        ([1, 1, 0], [[2.0]])
    """
    groups = groups_from_labels(labels, embedding, unit=unit)
    if weights is None:
        return groups
    heavy = torch.cat([embedding * weights, weights[None]])  # (D + 1, *S)
    sums = groups_from_labels(groups.labels, heavy, unit=False).prototypes  # in the same order
    mass = sums[:, -1:]
    means = sums[:, :-1] / torch.where(mass > 0, mass, 1)
    if unit:
        means = normalize(means, dim=1)
    return dataclasses.replace(groups, prototypes=torch.where(mass > 0, means, groups.prototypes))


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
