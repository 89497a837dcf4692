"""The pairwise loss of Recurrent Pixel Embedding (Kong & Fowlkes, CVPR 2018, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from congeal.errors import CongealError, require_tensor
from congeal.grouping.mean_shift import MeanShift
from congeal.losses.hinged_pairs import hinged_pairs
from congeal.randomness import image_generator
from congeal.sphere import MIN_EMBEDDING_NORM, normalise

__all__ = ["PairwiseLoss", "PixelSample", "pairwise_loss", "sample_pixels", "sampled_pairwise_loss"]

Sampling = Literal["uniform", "balanced"]


@dataclass(frozen=True)
class PixelSample:
    """Pixels drawn from one image.

    Attributes:
        embedding: ``(N, D)``, as the network gave it.
        groups: ``(N,)`` int64, 0..K-1, the group of each pixel.
        location: ``(N, n)`` float, where each pixel lies, in pixels of the label map.
    """

    embedding: Tensor
    groups: Tensor
    location: Tensor


def sampled_pairwise_loss(
    unit: Tensor,
    groups: Tensor,
    location: Tensor,
    *,
    margin: float = 0.5,
    negative_weight: float = 1.0,
    repulsion_radius: float | None = None,
) -> Tensor:
    """The pairwise loss of pixels already drawn and normalised.

    Pair weights are W_ij = 1 / (K^2 n_i n_j), which sum to one over all pairs. With a
    ``repulsion_radius`` they are divided by their sum over the pairs that count.

    Args:
        unit: ``(N, D)`` vectors of length one.
        groups: ``(N,)`` int64 in 0..K-1, every group present.
        location: ``(N, n)`` positions; used only with ``repulsion_radius``.
        margin: alpha, in units of the calibrated cosine, 0..1.
        negative_weight: lambda, the weight of pairs of different groups.
        repulsion_radius: pairs of different groups count only where closer than this, in pixels.

    Returns:
        A scalar.

    Example:
        >>> unit = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
        >>> float(sampled_pairwise_loss(unit, torch.tensor([0, 0, 1]), torch.zeros(3, 2)))
        0.0
    """
    counts = torch.bincount(groups)
    n_groups = len(counts)
    if n_groups == 0:
        return unit.sum() * 0.0
    weights = 1.0 / (n_groups * counts.to(unit.dtype))[groups]  # (N,)
    sums = unit.new_zeros(n_groups, unit.shape[1]).index_add(0, groups, unit)
    tightness = (sums / counts[:, None]).square().sum(1)  # (K,) |mean|^2 = mean of x_i.x_j
    positive = 0.5 * (1 - tightness).sum() / n_groups**2
    negative, mass = hinged_pairs(
        unit, groups, weights, location, margin=margin, repulsion_radius=repulsion_radius
    )
    scale = 1.0 if repulsion_radius is None else 1.0 / (mass + 1.0 / n_groups)
    loss: Tensor = (positive + negative_weight * negative) * scale
    return loss


def _number(labels: Tensor) -> Tensor:
    """Number the labels that occur, at least 0, from 0 on without gaps, in their order."""
    if not len(labels) or int(labels.max()) > 4 * len(labels) + 1024:
        found: Tensor = torch.unique(labels, return_inverse=True)[1]
        return found
    present = torch.bincount(labels) > 0  # a table is several times as quick as a sort
    numbers = present.cumsum(0) - 1
    return numbers[labels.long()]


def _draw_balanced(groups: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Indices of ``count`` pixels, as equal in number per group as the groups allow."""
    noise = torch.rand(len(groups), generator=generator).to(groups.device)
    order = torch.argsort(groups + noise)  # group by group, shuffled inside
    counts = torch.bincount(groups)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - starts[groups[order]]
    shuffle = torch.rand(len(groups), generator=generator).to(groups.device)
    return torch.topk(rank + shuffle, count, largest=False, sorted=False).indices


def sample_pixels(
    embedding: Tensor,
    labels: Tensor,
    *,
    samples: int | None = None,
    sampling: Sampling = "uniform",
    background: bool = True,
    generator: torch.Generator | None = None,
) -> PixelSample:
    """Draw pixels of one image without replacement; void pixels are never drawn.

    Args:
        embedding: ``(D, *S)``.
        labels: ``(*S)`` int64, -1 void, 0 background.
        samples: how many at most (None: all).
        sampling: ``"uniform"`` over pixels or ``"balanced"`` over groups.
        background: whether label 0 is one more group, or left out.
        generator: a CPU generator, for a draw that can be repeated.

    Returns:
        The sample; empty when no pixel has a group.

    Example:
        >>> labels = torch.tensor([[0, 5], [5, -1]])
        >>> sample_pixels(torch.rand(3, 2, 2), labels, background=False).groups
        tensor([0, 0])
    """
    flat = labels.reshape(-1)
    keep = (flat >= (0 if background else 1)).nonzero()[:, 0]
    groups = _number(flat[keep])
    if samples is not None and len(keep) > samples:
        if sampling == "balanced":
            chosen = _draw_balanced(groups, samples, generator)
        else:
            chosen = torch.randperm(len(keep), generator=generator).to(keep.device)[:samples]
        keep = keep[chosen]
        groups = _number(groups[chosen])
    place = torch.stack(torch.unravel_index(keep, labels.shape), dim=-1).float()  # (N, n)
    return PixelSample(embedding.flatten(1)[:, keep].T, groups, place)


def _check(embedding: Tensor, labels: Tensor, margin: float) -> None:
    require_tensor(embedding, "embedding")
    require_tensor(labels, "labels")
    if embedding.ndim < 3 or embedding.shape[:1] + embedding.shape[2:] != labels.shape:
        raise CongealError(
            "expected embedding (B, D, *S) and labels (B, *S), "
            f"got {tuple(embedding.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise CongealError(f"expected labels of an integer type, got {labels.dtype}")
    if labels.numel() and int(labels.min()) < -1:
        raise CongealError(f"expected labels of at least -1 (void), got {int(labels.min())}")
    if not 0 <= margin < 1:
        raise CongealError(f"expected a margin in [0, 1), got {margin}")


def pairwise_loss(
    embedding: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.5,
    negative_weight: float = 1.0,
    samples: int | None = None,
    sampling: Sampling = "uniform",
    background: bool = True,
    repulsion_radius: float | None = None,
    grouping: MeanShift | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Pull pixels of one object together and push objects apart on the unit sphere.

    .. math:: \sum_{ij} W_{ij} \{ [y_i = y_j](1 - s_{ij}) + \lambda [y_i \ne y_j]
              \max(s_{ij} - \alpha, 0) \}, \quad s_{ij} = (1 + x_i^T x_j) / 2

    with :math:`W_{ij} = 1 / (K^2 n_{y_i} n_{y_j})`, so that every object counts the same whatever
    its size. The first term comes from group means in O(N D); the second goes through the pairs a
    block at a time. With a ``grouping`` the loss of every mean-shift step is added (section 3.3).

    Args:
        embedding: ``(B, D, *S)``, any length (it is normalised here, in float32 or better).
        labels: ``(B, *S)`` int64: -1 void, 0 background, 1..K objects.
        margin: alpha in [0, 1); .5 means that objects need a right angle between them.
        negative_weight: lambda (1 in the paper's toys, 5 for its VOC models).
        samples: pixels drawn from each image (None: all; the paper takes up to 4000).
        sampling: ``"uniform"`` or ``"balanced"`` (as many from each object as it has).
        background: whether label 0 is one more group (the paper) or takes no part.
        repulsion_radius: objects repel only where their pixels are closer than this, in pixels of
            the map; objects further apart may share a direction, so few dimensions serve hundreds
            of objects. None: all objects repel each other.
        grouping: a :class:`congeal.grouping.MeanShift` through which the loss is also taken.
        generator: CPU generator of the draw.

    Returns:
        A scalar: the mean over the images of the batch. It can be differentiated once.

    Raises:
        CongealError: shapes do not fit, labels are not integers or below -1, or the margin is out
            of range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> embedding = torch.randn(2, 8, 6, 6, requires_grad=True)
        >>> labels = torch.arange(72).reshape(2, 6, 6) % 3
        >>> loss = pairwise_loss(embedding, labels, margin=0.5)
        >>> loss.backward()
        >>> 0 < loss.item() < 1
        True
    """
    _check(embedding, labels, margin)
    if embedding.dtype in (torch.float16, torch.bfloat16):
        embedding = embedding.float()
    losses: list[Tensor] = []
    with torch.autocast(embedding.device.type, enabled=False):
        for image, (one, its_labels) in enumerate(zip(embedding, labels, strict=True)):
            sample = sample_pixels(
                one,
                its_labels,
                samples=samples,
                sampling=sampling,
                background=background,
                generator=image_generator(generator, image),
            )
            losses.append(_image_loss(sample, margin, negative_weight, repulsion_radius, grouping))
    return torch.stack(losses).mean() if losses else embedding.sum() * 0.0


def _image_loss(
    sample: PixelSample,
    margin: float,
    negative_weight: float,
    repulsion_radius: float | None,
    grouping: MeanShift | None,
) -> Tensor:
    unit = normalise(sample.embedding, dim=1, eps=MIN_EMBEDDING_NORM)
    steps = [unit]
    if grouping is not None:
        trail = grouping.shift(unit[None], location=sample.location[None])
        steps += [step[0] for step in trail]
    losses = [
        sampled_pairwise_loss(
            step,
            sample.groups,
            sample.location,
            margin=margin,
            negative_weight=negative_weight,
            repulsion_radius=repulsion_radius,
        )
        for step in steps
    ]
    return torch.stack(losses).sum()


class PairwiseLoss(nn.Module):
    """:func:`pairwise_loss` as a Module; see there for the arguments.

    Example:
        >>> loss = PairwiseLoss(margin=0.5, samples=16)
        >>> loss(torch.ones(1, 4, 5, 5), torch.ones(1, 5, 5, dtype=torch.int64)).item()
        0.0
    """

    def __init__(
        self,
        *,
        margin: float = 0.5,
        negative_weight: float = 1.0,
        samples: int | None = None,
        sampling: Sampling = "uniform",
        background: bool = True,
        repulsion_radius: float | None = None,
        grouping: MeanShift | None = None,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.negative_weight = negative_weight
        self.samples = samples
        self.sampling: Sampling = sampling
        self.background = background
        self.repulsion_radius = repulsion_radius
        self.grouping = grouping

    def forward(
        self, embedding: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the loss of ``(B, D, *S)`` embeddings and ``(B, *S)`` labels, a scalar."""
        return pairwise_loss(
            embedding,
            labels,
            margin=self.margin,
            negative_weight=self.negative_weight,
            samples=self.samples,
            sampling=self.sampling,
            background=self.background,
            repulsion_radius=self.repulsion_radius,
            grouping=self.grouping,
            generator=generator,
        )
