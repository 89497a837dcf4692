"""What every grouping takes and gives, so that one can stand in for another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from congeal.errors import CongealError, require_tensor

__all__ = [
    "Grouping",
    "Groups",
    "check_embedding",
    "check_finite",
    "check_shapes",
    "groups_from_labels",
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
        scores: ``(K,)`` how much each group is to be trusted, 0..1; 1 where nothing says.
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
        """``(K,)`` pixels of each group, those it shares included."""
        return torch.bincount(self.layers.reshape(-1), minlength=len(self) + 1)[1:]

    def mask(self, group: int) -> Tensor:
        """``(*S)`` bool, the pixels of group 1..K.

        Raises:
            CongealError: there is no such group.
        """
        if not 1 <= group <= len(self):
            raise CongealError(f"expected a group from 1 to {len(self)}, got {group}")
        return (self.layers == group).any(0)


@runtime_checkable
class Grouping(Protocol):
    """Whatever groups the pixels of an image by their embeddings."""

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


def groups_from_labels(
    labels: Tensor, embedding: Tensor, *, scores: Tensor | None = None, unit: bool = True
) -> Groups:
    """Number groups 1..K without gaps, largest first, with the mean of each as its prototype.

    Args:
        labels: ``(*S)`` int64, 0 or less where there is no group; other numbers need not follow
            one another.
        embedding: ``(D, *S)``.
        scores: ``(K,)`` of the labels present, in ascending order of their numbers.
        unit: scale the prototypes to length one.

    Example:
        >>> groups = groups_from_labels(torch.tensor([[7, 2, 2]]), torch.eye(3)[:, None])
        >>> groups.labels.tolist(), groups.prototypes[1].tolist()
        ([[2, 1, 1]], [1.0, 0.0, 0.0])
    """
    ids, index = torch.unique(labels, return_inverse=True)
    present = ids > 0
    area = torch.bincount(index.reshape(-1), minlength=len(ids))
    order = area.masked_fill(~present, -1).argsort(descending=True, stable=True)[: present.sum()]
    rename = torch.zeros_like(ids)
    rename[order] = torch.arange(1, len(order) + 1, device=ids.device)
    numbered = rename[index]
    sums = embedding.new_zeros(len(order) + 1, len(embedding))
    sums.index_add_(0, numbered.reshape(-1), embedding.flatten(1).T)
    means = sums[1:] / area[order, None]
    if unit:
        means = torch.nn.functional.normalize(means, dim=1)
    trust = means.new_ones(len(ids)) if scores is None else scores
    first = len(ids) - len(trust) if scores is None else int((~present).sum())
    return Groups(numbered[None], means, trust[order - first])


def check_embedding(
    embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
) -> None:
    """Refuse what is no embedding of one image, or a mask or weights of another size.

    Raises:
        CongealError: shapes do not fit, the embedding is no float, it holds NaN or infinity, or a
            weight is not finite or negative.

    Example:
        >>> check_embedding(torch.zeros(4, 5, 6), torch.ones(5, 6, dtype=torch.bool))
    """
    check_shapes(embedding, mask, weights)
    check_finite(embedding)


def check_shapes(
    embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
) -> None:
    """Refuse what has not the shape of an embedding of one image, its mask or its weights.

    Raises:
        CongealError: shapes do not fit, the embedding is no float, or a weight is not finite or
            negative.
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


def _is_batch(embedding: Tensor) -> bool:
    """Whether the second axis of four has unit vectors, and not the first, as a volume has."""
    if embedding.ndim != 4 or embedding.shape[1] < 2:
        return False
    lengths = (embedding.detach()[..., 0, 0].float().norm(dim=axis) - 1 for axis in (0, 1))
    first, second = (bool((off.abs() < LENGTH_ERROR).all()) for off in lengths)
    return second and not first


def check_finite(embedding: Tensor) -> None:
    """Refuse an embedding that holds NaN or infinity.

    Raises:
        CongealError: it does.
    """
    # a sum is ten times as quick as looking at each number, and not finite if one of them is not
    if not bool(torch.isfinite(embedding.sum())) and not bool(torch.isfinite(embedding).all()):
        raise CongealError("expected a finite embedding, got NaN or infinity")
