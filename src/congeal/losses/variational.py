"""The variational loss of Deep Variational Instance Segmentation (Yuan et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from congeal.errors import CongealError
from congeal.losses.variational_terms import (
    Pairs,
    binary_term,
    check_values,
    huber,
    mumford_shah_term,
    permutation_term,
    quantisation_term,
)

__all__ = [
    "VariationalLoss",
    "VariationalTerms",
    "VariationalWeights",
    "binary_term",
    "huber",
    "mumford_shah_term",
    "permutation_term",
    "quantisation_term",
    "variational_loss",
    "variational_terms",
]


class VariationalWeights(NamedTuple):
    """Weights of the terms in the sum; terms of weight 0 are not computed.

    Example:
        >>> VariationalWeights()._replace(quantisation=0.0)[:2]
        (10.0, 0.2)
    """

    binary: float = 10.0
    permutation: float = 0.2
    mumford_shah: float = 0.1
    quantisation: float = 0.5


class VariationalTerms(NamedTuple):
    """The weighted sum, and the terms before weighting, each a scalar mean over the images."""

    total: Tensor
    binary: Tensor
    permutation: Tensor
    mumford_shah: Tensor
    quantisation: Tensor


PAPER = VariationalWeights()


def variational_terms(
    values: Tensor,
    labels: Tensor,
    *,
    weights: tuple[float, float, float, float] = PAPER,
    object_margin: float = 2.0,
    margin: float = 1.0,
    theta: float = 0.1,
    pairs: Pairs = "window",
    window: int = 129,
    centre: int = 8,
    dilation: int = 8,
    count: int = 65536,
    different_weight: float = 1.0,
    repulsion_radius: float | None = None,
    generator: torch.Generator | None = None,
) -> VariationalTerms:
    """The terms of :func:`variational_loss` one by one, for a log; see there for the arguments.

    Example:
        >>> terms = variational_terms(torch.full((1, 1, 4, 4), 2.0), torch.ones(1, 4, 4).long())
        >>> {name: float(term) for name, term in terms._asdict().items() if term > 0}
        {}
    """
    check_values(values, labels)
    weights = VariationalWeights(*weights)
    if theta <= 0 or min(weights) < 0:
        raise CongealError(f"expected theta > 0 and weights of at least 0, got {theta}, {weights}")
    raised = torch.promote_types(values.dtype, torch.float32)
    none = values.to(raised).masked_fill((labels < 0)[:, None], 0.0).sum() * 0.0
    binary = permutation = mumford_shah = quantisation = none
    with torch.autocast(values.device.type, enabled=False):
        if weights.binary:
            binary = binary_term(values, labels, margin=object_margin, theta=theta)
        if weights.permutation:
            permutation = permutation_term(
                values,
                labels,
                margin=margin,
                theta=theta,
                pairs=pairs,
                window=window,
                centre=centre,
                dilation=dilation,
                count=count,
                different_weight=different_weight,
                repulsion_radius=repulsion_radius,
                generator=generator,
            )
        if weights.mumford_shah:
            mumford_shah = mumford_shah_term(values, labels)
        if weights.quantisation:
            quantisation = quantisation_term(values, labels)
    terms = (binary, permutation, mumford_shah, quantisation)
    total = sum((w * term for w, term in zip(weights, terms, strict=True) if w), none)
    return VariationalTerms(total, *terms)


def variational_loss(
    values: Tensor,
    labels: Tensor,
    *,
    weights: tuple[float, float, float, float] = PAPER,
    object_margin: float = 2.0,
    margin: float = 1.0,
    theta: float = 0.1,
    pairs: Pairs = "window",
    window: int = 129,
    centre: int = 8,
    dilation: int = 8,
    count: int = 65536,
    different_weight: float = 1.0,
    repulsion_radius: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Separate objects from background and from each other by one number per pixel (section 3).

    The weighted sum of four terms: :func:`binary_term`, :func:`permutation_term`,
    :func:`mumford_shah_term` and :func:`quantisation_term`, each a mean over the pixels or pairs
    of an image, so that the weights mean the same at any size.

    Args:
        values: ``(B, C, *S)`` f before the final ReLU, which is applied here; C = 1 in the paper.
        labels: ``(B, *S)`` integers: -1 void (takes no part), 0 background, 1..K objects.
        weights: of the terms in the order above; 0 skips one.
        object_margin: m_1, minimum value on objects.
        margin: m_2, minimum difference of the values of two objects.
        theta: where the Huber loss turns from a square to a line.
        pairs: ``"window"`` or ``"random"`` pairs of the permutation invariant term.
        window: side of the window in pixels, odd.
        centre: pixels closer than this are all paired.
        dilation: stride of paired pixels outside of the centre.
        count: random pairs drawn from each image.
        different_weight: weight of pairs of different objects (1 in the paper, 3 in its code).
        repulsion_radius: pixels beyond which different objects may share a value; None: never.
        generator: CPU generator of the draw.

    Returns:
        A scalar: the mean over the images of the batch. It can be differentiated once.

    Raises:
        CongealError: shapes or types do not fit, or a value is out of range.

    Example:
        >>> values = torch.zeros(1, 1, 6, 6, requires_grad=True)
        >>> labels = torch.arange(36).reshape(1, 6, 6) // 12
        >>> variational_loss(values, labels, window=5).backward()
        >>> values.grad[0, 0, 0, 0].item(), bool(values.grad[0, 0, 5, 5] < 0)
        (0.0, True)
    """
    return variational_terms(
        values,
        labels,
        weights=weights,
        object_margin=object_margin,
        margin=margin,
        theta=theta,
        pairs=pairs,
        window=window,
        centre=centre,
        dilation=dilation,
        count=count,
        different_weight=different_weight,
        repulsion_radius=repulsion_radius,
        generator=generator,
    ).total


class VariationalLoss(nn.Module):
    """:func:`variational_loss` as a Module; see there for the arguments.

    Example:
        >>> loss = VariationalLoss(window=33)
        >>> loss(torch.full((1, 1, 4, 4), 2.0), torch.ones(1, 4, 4, dtype=torch.int64)).item()
        0.0
    """

    def __init__(
        self,
        *,
        weights: tuple[float, float, float, float] = PAPER,
        object_margin: float = 2.0,
        margin: float = 1.0,
        theta: float = 0.1,
        pairs: Pairs = "window",
        window: int = 129,
        centre: int = 8,
        dilation: int = 8,
        count: int = 65536,
        different_weight: float = 1.0,
        repulsion_radius: float | None = None,
    ) -> None:
        super().__init__()
        self.weights = weights
        self.object_margin = object_margin
        self.margin = margin
        self.theta = theta
        self.pairs: Pairs = pairs
        self.window = window
        self.centre = centre
        self.dilation = dilation
        self.count = count
        self.different_weight = different_weight
        self.repulsion_radius = repulsion_radius

    def terms(
        self, values: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> VariationalTerms:
        """Return the loss and its terms, for a log; see :func:`variational_terms`."""
        return variational_terms(
            values,
            labels,
            weights=self.weights,
            object_margin=self.object_margin,
            margin=self.margin,
            theta=self.theta,
            pairs=self.pairs,
            window=self.window,
            centre=self.centre,
            dilation=self.dilation,
            count=self.count,
            different_weight=self.different_weight,
            repulsion_radius=self.repulsion_radius,
            generator=generator,
        )

    def forward(
        self, values: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the loss of ``(B, C, *S)`` values and ``(B, *S)`` labels, a scalar."""
        return self.terms(values, labels, generator).total
