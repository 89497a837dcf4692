"""The discriminative loss (De Brabandere, Neven & Van Gool, 2017, equations 1 to 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from congeal.errors import CongealError
from congeal.losses.segments import Segments, check_maps, gather_segments

__all__ = [
    "DiscriminativeLoss",
    "DiscriminativeTerms",
    "discriminative_loss",
    "discriminative_terms",
]


class DiscriminativeTerms(NamedTuple):
    """The terms of the discriminative loss, scalars without weights.

    Attributes:
        variance: how far pixels lie from the mean of their object, beyond ``delta_v``, squared.
        distance: how much closer than ``2 delta_d`` the means of two objects are, squared.
        regular: how far the means lie from the origin.
    """

    variance: Tensor
    distance: Tensor
    regular: Tensor


class _Spaces(NamedTuple):
    """The objects of a batch by the space they share: those of one image and one class."""

    sizes: Tensor  # (M,) objects of each space
    shares: Tensor  # (M,) what each space counts in the mean over classes, then images
    space: Tensor  # (K,) space of each object, 0..M-1, never falling


def _spaces(found: Segments, batch: int) -> _Spaces:
    whose = torch.stack([found.images, found.classes], 1)  # (K, 2), sorted
    kinds, space, sizes = torch.unique_consecutive(
        whose, dim=0, return_inverse=True, return_counts=True
    )
    classes_of_image = torch.bincount(kinds[:, 0])  # those that have an object
    shares = 1.0 / (batch * classes_of_image.to(found.pixels.dtype))[kinds[:, 0]]
    return _Spaces(sizes, shares, space)


def _repulsion(means: Tensor, spaces: _Spaces, distance: float) -> Tensor:
    """Weighted sum over the spaces of the mean over pairs of means of their hinge, squared."""
    total = means[:0].sum()  # 0, on the graph
    groups = means.split(spaces.sizes.tolist())
    for share, group in zip(spaces.shares, groups, strict=True):
        if len(group) > 1:
            apart = torch.nn.functional.pdist(group)  # (C (C - 1) / 2,)
            total = total + share * (distance - apart).relu().square().mean()
    return total


def _check(
    embedding: Tensor,
    labels: Tensor,
    semantic: Tensor | None,
    classes: int | None,
    deltas: tuple[float, float],
) -> None:
    check_maps(embedding, labels=labels, semantic=semantic)
    if not (deltas[0] >= 0 and deltas[1] >= 0):
        raise CongealError(
            f"expected delta_v and delta_d of at least 0, got {deltas[0]} and {deltas[1]}"
        )
    if classes is None:
        return
    if semantic is None:
        raise CongealError(f"expected a semantic map for {classes} classes, got none")
    if classes < 1 or embedding.shape[1] % classes:
        raise CongealError(
            f"expected channels that {classes} classes share equally, got {embedding.shape[1]}"
        )
    highest = int(torch.where(labels > 0, semantic, 0).max()) if labels.numel() else 0
    if highest > classes:
        raise CongealError(f"expected objects of class 1 to {classes}, got class {highest}")


def discriminative_terms(
    embedding: Tensor,
    labels: Tensor,
    *,
    delta_v: float = 0.5,
    delta_d: float = 1.5,
    semantic: Tensor | None = None,
    classes: int | None = None,
) -> DiscriminativeTerms:
    """The three terms of :func:`discriminative_loss`, to watch or to weigh one by one.

    Args:
        embedding: ``(B, D, *S)``, or ``(B, classes * D, *S)`` with ``classes``.
        labels: ``(B, *S)`` int64: -1 void, 0 background, 1..K objects.
        delta_v: how far from the mean of its object a pixel may lie, at least 0.
        delta_d: half of how far apart two means have to be, at least 0.
        semantic: ``(B, *S)`` int64 class of each pixel, as in :func:`discriminative_loss`.
        classes: number of spaces the channels hold, as in :func:`discriminative_loss`.

    Returns:
        Variance, distance and regular, each the mean over the images of the batch.

    Raises:
        CongealError: shapes do not fit, maps are not integers, or a value is out of range.

    Example:
        >>> embedding = torch.tensor([[[[0.0, 2.0, 3.0]]]])  # (1, 1, 1, 3)
        >>> terms = discriminative_terms(embedding, torch.tensor([[[1, 1, 2]]]))
        >>> [round(term.item(), 3) for term in terms]
        [0.125, 1.0, 2.0]
    """
    _check(embedding, labels, semantic, classes, (delta_v, delta_d))
    with torch.autocast(embedding.device.type, enabled=False):
        found = gather_segments(embedding, labels, semantic, first_class=1, blocks=classes or 1)
        spaces = _spaces(found, len(labels))
        weights = (spaces.shares / spaces.sizes)[spaces.space]  # (K,)
        areas = found.areas
        means = found.sums / areas[:, None]  # (K, D)
        away = vector_norm(means[found.own] - found.pixels, dim=1)  # (N,), gradient 0 at 0
        pull = (away - delta_v).relu().square()
        return DiscriminativeTerms(
            variance=((weights / areas)[found.own] * pull).sum(),
            distance=_repulsion(means, spaces, 2 * delta_d),
            regular=(weights * vector_norm(means, dim=1)).sum(),
        )


def discriminative_loss(
    embedding: Tensor,
    labels: Tensor,
    *,
    delta_v: float = 0.5,
    delta_d: float = 1.5,
    variance_weight: float = 1.0,
    distance_weight: float = 1.0,
    regular_weight: float = 0.001,
    semantic: Tensor | None = None,
    classes: int | None = None,
) -> Tensor:
    r"""Gather the pixels of an object in a ball and keep the balls of two objects apart.

    .. math::
        L_{var} &= \frac{1}{C} \sum_c \frac{1}{N_c} \sum_i [|\mu_c - x_i| - \delta_v]_+^2 \\
        L_{dist} &= \frac{1}{C (C - 1)} \sum_{a \ne b} [2 \delta_d - |\mu_a - \mu_b|]_+^2 \\
        L_{reg} &= \frac{1}{C} \sum_c |\mu_c|

    over the C objects of an image, in Euclidean space: nothing is normalised. An image of one
    object has no distance term; one without an object has loss 0. At distance 0 the gradient is
    0; so two means in exactly one place do not part. With ``delta_d > 2 delta_v`` a loss of 0
    means that every pixel is nearer to all pixels of its object than to any of another.

    With ``semantic``, objects of different classes are not separated by the loss: each
    class of an image has its own three terms, and the image the mean of them over the classes
    that have an object in it. The classes share the D dimensions, or with ``classes`` each reads
    its own block of channels, so that no pixel serves two. Objects are cut where the class
    changes.

    Args:
        embedding: ``(B, D, *S)``, or ``(B, classes * D, *S)`` with ``classes``; half precision is
            raised to float32.
        labels: ``(B, *S)`` int64: -1 void, 0 background, 1..K objects. Background takes no part.
        delta_v: how far from the mean of its object a pixel may lie, at least 0.
        delta_d: half of how far apart two means have to be, at least 0.
        variance_weight: alpha of the paper.
        distance_weight: beta of the paper.
        regular_weight: gamma of the paper.
        semantic: ``(B, *S)`` int64 class of each pixel, 1 and up for objects; pixels of class 0
            and -1 take no part.
        classes: into how many equal blocks the channels are cut; class c reads block c - 1.
            Needs ``semantic``.

    Returns:
        A scalar: the mean over the images of the batch.

    Raises:
        CongealError: shapes do not fit, maps are not integers, or a value is out of range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> embedding = torch.randn(2, 8, 6, 6, requires_grad=True)
        >>> labels = torch.arange(72).reshape(2, 6, 6) % 3
        >>> loss = discriminative_loss(embedding, labels)
        >>> loss.backward()
        >>> loss.item() > 0
        True
    """
    terms = discriminative_terms(
        embedding, labels, delta_v=delta_v, delta_d=delta_d, semantic=semantic, classes=classes
    )
    return (
        variance_weight * terms.variance
        + distance_weight * terms.distance
        + regular_weight * terms.regular
    )


class DiscriminativeLoss(nn.Module):
    """:func:`discriminative_loss` as a Module; see there for the arguments.

    Example:
        >>> loss = DiscriminativeLoss(delta_v=0.5, delta_d=1.5)
        >>> loss(torch.zeros(1, 4, 5, 5), torch.ones(1, 5, 5, dtype=torch.int64)).item()
        0.0
    """

    def __init__(
        self,
        *,
        delta_v: float = 0.5,
        delta_d: float = 1.5,
        variance_weight: float = 1.0,
        distance_weight: float = 1.0,
        regular_weight: float = 0.001,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        self.delta_v = delta_v
        self.delta_d = delta_d
        self.variance_weight = variance_weight
        self.distance_weight = distance_weight
        self.regular_weight = regular_weight
        self.classes = classes

    def forward(self, embedding: Tensor, labels: Tensor, semantic: Tensor | None = None) -> Tensor:
        """Return the loss of ``(B, D, *S)`` embeddings and ``(B, *S)`` labels, a scalar."""
        return discriminative_loss(
            embedding,
            labels,
            delta_v=self.delta_v,
            delta_d=self.delta_d,
            variance_weight=self.variance_weight,
            distance_weight=self.distance_weight,
            regular_weight=self.regular_weight,
            semantic=semantic,
            classes=self.classes,
        )
