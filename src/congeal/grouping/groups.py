"""Interface and result of groupings, checks of their input, and groups from labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from congeal.errors import CongealError, require_tensor

__all__ = [
    "Grouping",
    "Groups",
    "OverBatch",
    "check_embedding",
    "groups_from_labels",
    "take_pixels",
]


LENGTH_ERROR = 1e-3  # largest error of the length of a unit vector, in half precision


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of the pixels of one image.

    Groups may overlap: each lies in one of L layers, and within a layer every pixel has at most
    one group. Most groupings give a single layer.

    Attributes:
        layers: ``(L, *S)`` int64: 0 no group, 1..K the groups, numbered across all layers.
        prototypes: ``(K, D)`` the centre of each group in the space of the embedding.
        scores: ``(K,)`` confidence in each group, 0..1; 1 where a grouping has none.
        classes: ``(K,)`` int64 semantic class of each group, or None.

    Example:
        >>> layers = torch.tensor([[[1, 1, 0]], [[2, 2, 2]]])
        >>> groups = Groups(layers, torch.eye(2), torch.tensor([0.9, 0.4]))
        >>> len(groups), groups.labels.tolist(), groups.areas.tolist()
        (2, [[1, 1, 2]], [2, 3])
    """

    layers: Tensor
    prototypes: Tensor
    scores: Tensor
    classes: Tensor | None = None

    def __repr__(self) -> str:
        return f"Groups({len(self)} in {' x '.join(map(str, self.layers.shape[1:]))})"

    def __len__(self) -> int:
        """The number of groups."""
        return len(self.prototypes)

    @property
    def labels(self) -> Tensor:
        """``(*S)`` int64 label map; where groups overlap, the one of the highest score."""
        if len(self.layers) == 1:
            return self.layers[0]
        score = torch.cat([self.scores.new_full((1,), -torch.inf), self.scores])
        best = score[self.layers].argmax(0, keepdim=True)  # (1, *S), ties: the earlier layer
        return self.layers.gather(0, best)[0]

    @property
    def areas(self) -> Tensor:
        """``(K,)`` pixels of each group, including shared ones."""
        return torch.bincount(self.layers.reshape(-1), minlength=len(self) + 1)[1:]

    def mask(self, group: int) -> Tensor:
        """``(*S)`` bool, the pixels of group 1..K.

        Raises:
            CongealError: the group does not exist.
        """
        if not 1 <= group <= len(self):
            raise CongealError(f"expected a group from 1 to {len(self)}, got {group}")
        return (self.layers == group).any(0)


@runtime_checkable
class Grouping(Protocol):
    """Interface of groupings, which group the pixels of an image by their embeddings."""

    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Groups:
        """Group the pixels of one image.

        Args:
            embedding: ``(D, *S)``.
            mask: ``(*S)`` bool, the pixels to group; None: all.
            weights: ``(*S)`` mass of each pixel, at least 0; None: all the same.
        """
        ...


class OverBatch:
    """Base class of groupings of one image: a call groups each image of a batch."""

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


def groups_from_labels(
    labels: Tensor,
    embedding: Tensor,
    *,
    scores: Tensor | None = None,
    weights: Tensor | None = None,
    unit: bool = True,
) -> Groups:
    """Number groups 1..K without gaps, largest first, with the mean of each as its prototype.

    Args:
        labels: ``(*S)`` int64, 0 or less where there is no group; other numbers need not follow
            one another.
        embedding: ``(D, *S)``.
        scores: ``(K,)`` of the labels present, in ascending order of their numbers.
        weights: ``(*S)`` mass of each pixel in the means; a group of no mass has its plain mean.
        unit: scale the prototypes to length one.

    Example:
        >>> groups = groups_from_labels(torch.tensor([[7, 2, 2]]), torch.eye(3)[:, None])
        >>> groups.labels.tolist(), groups.prototypes[1].tolist()
        ([[2, 1, 1]], [1.0, 0.0, 0.0])
    """
    flat = _numbered(labels.flatten())
    area = torch.bincount(flat, minlength=1)
    order = 1 + area[1:].argsort(descending=True, stable=True)
    rename = torch.zeros_like(area)
    rename[order] = torch.arange(1, len(area), device=area.device)
    flat = rename[flat]
    means = _means(flat, embedding.flatten(1), len(area), weights)[:, 1:].T
    if unit:
        means = torch.nn.functional.normalize(means, dim=1)
    trust = means.new_ones(len(order)) if scores is None else scores[order - 1]
    return Groups(flat.view(1, *labels.shape), means, trust)


def _numbered(labels: Tensor) -> Tensor:
    """Number the positive labels 1, 2, ... in their order; 0 for the others."""
    labels = labels.clamp_min(0).long()
    if len(labels) and int(labels.max()) > 4 * len(labels) + 1024:
        labels = torch.unique(labels, return_inverse=True)[1] + int(labels.min() > 0)
    present = torch.bincount(labels, minlength=1) > 0  # a table is quicker than a sort
    present[0] = False
    return present.cumsum(0)[labels] * (labels > 0)


def _means(labels: Tensor, points: Tensor, count: int, weights: Tensor | None) -> Tensor:
    """``(D, count)`` means of the points ``(D, N)`` of each label ``(N,)``."""
    mass = torch.ones_like(points[0])
    if weights is not None:
        weights = weights.flatten().to(points.dtype)
        held = mass.new_zeros(count).index_add(0, labels, weights)
        mass = torch.where(held[labels] > 0, weights, 1)
        points = points * mass
    sums = points.new_zeros(len(points), count)
    sums = sums.scatter_add(1, labels.expand(len(points), -1), points)
    return sums / mass.new_zeros(count).index_add(0, labels, mass)


def take_pixels(
    embedding: Tensor, mask: Tensor | None, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Check the input of a grouping, and fill in defaults.

    Args:
        embedding: ``(D, *S)``.
        mask: ``(*S)`` bool, or None for all pixels.
        weights: ``(*S)`` mass of each pixel, or None for one each.

    Returns:
        The embedding in float32 or float64, the mask, and the mass of each pixel in the type of
        the embedding, 0 outside the mask.

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


def check_embedding(
    embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
) -> None:
    """Check an embedding of one image, and the sizes of mask and weights.

    Raises:
        CongealError: shapes do not fit, the embedding is no float, it holds NaN or infinity, or a
            weight is not finite or negative.

    Example:
        >>> check_embedding(torch.zeros(4, 5, 6), torch.ones(5, 6, dtype=torch.bool))
    """
    require_tensor(embedding, "embedding")
    if embedding.ndim < 2 or not embedding.is_floating_point():
        raise CongealError(
            f"expected a float embedding (D, *S), got {embedding.dtype} {tuple(embedding.shape)}"
        )
    if _is_batch(embedding):
        raise CongealError(
            f"expected an embedding (D, *S) of one image, got {tuple(embedding.shape)}, which is a "
            "batch (B, D, H, W) by its unit vectors; group one image after the other"
        )
    for name, part in (("mask", mask), ("weights", weights)):
        if part is not None and part.shape != embedding.shape[1:]:
            raise CongealError(
                f"expected a {name} of shape {tuple(embedding.shape[1:])}, got {tuple(part.shape)}"
            )
    if weights is not None and not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        raise CongealError("expected finite weights of at least 0, got others")
    # isfinite of all values takes ten times as long as their sum
    if not bool(torch.isfinite(embedding.sum())) and not bool(torch.isfinite(embedding).all()):
        raise CongealError("expected a finite embedding, got NaN or infinity")


def _is_batch(embedding: Tensor) -> bool:
    """Whether the second axis of four has unit vectors, and not the first, as a volume has."""
    if embedding.ndim != 4 or embedding.shape[1] < 2:
        return False
    lengths = (embedding.detach()[..., 0, 0].float().norm(dim=axis) - 1 for axis in (0, 1))
    first, second = (bool((off.abs() < LENGTH_ERROR).all()) for off in lengths)
    return second and not first
