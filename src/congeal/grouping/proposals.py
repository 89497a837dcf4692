"""Object proposals from several groupings of one embedding (RPE, section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.autograd import full_precision
from congeal.errors import CongealError
from congeal.grouping.components import split_parts
from congeal.grouping.groups import Grouping, Groups, OverBatch, take_pixels
from congeal.grouping.mean_shift import MeanShift
from congeal.sphere import normalise

__all__ = ["Proposals", "mask_nms"]


def mask_nms(layers: Tensor, scores: Tensor, max_iou: float) -> Tensor:
    """Non-maximum suppression of masks by IoU.

    Intersections are counted from the pixels, a pair of layers at a time, so no mask is written
    out: the cost is that of L^2 / 2 passes over the image, whatever the number of groups.

    Args:
        layers: ``(L, *S)`` int64, 0 no group, 1..K the groups, each in one layer.
        scores: ``(K,)`` finite; of equal scores the earlier group goes first.
        max_iou: intersection over union beyond which the lower one is dropped.

    Returns:
        The groups kept, 1..K, by decreasing score.

    Raises:
        CongealError: a score is not finite, or the layers have groups without one.

    Example:
        >>> layers = torch.tensor([[[1, 1, 1, 2]], [[3, 3, 3, 0]]])
        >>> mask_nms(layers, torch.tensor([0.5, 0.9, 0.7]), 0.8).tolist()
        [2, 3]
    """
    if not bool(torch.isfinite(scores).all()):
        raise CongealError("expected finite scores, got NaN or infinity")
    if layers.numel() and int(layers.max()) > len(scores):
        raise CongealError(f"expected {int(layers.max())} scores, got {len(scores)}")
    order = scores.argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    pairs, iou = _overlaps(layers, len(scores))
    near = rank[pairs[:, iou > max_iou]]  # (2, P) of places in the order
    rivals: dict[int, list[int]] = {}
    for better, worse in near.sort(0).values.T.tolist():
        rivals.setdefault(better, []).append(worse)
    dropped: set[int] = set()
    for place in sorted(rivals):
        if place not in dropped:
            dropped.update(rivals[place])
    kept = [place for place in range(len(order)) if place not in dropped]
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)] + 1


def _overlaps(layers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pairs of groups 0..K-1 of different layers that share pixels, ``(2, P)``, and their IoU."""
    area = torch.bincount(layers.flatten(), minlength=count + 1)[1:]
    found = []
    for here, one in enumerate(layers):
        for other in layers[here + 1 :]:
            both = (one > 0) & (other > 0)
            code, shared = torch.unique(
                (one[both] - 1) * count + other[both] - 1, return_counts=True
            )
            found.append(torch.stack([code // max(count, 1), code % max(count, 1), shared]))
    if not found:
        return area.new_zeros(2, 0), torch.zeros(0, dtype=torch.float64, device=area.device)
    first, second, shared = torch.cat(found, 1)
    return torch.stack([first, second]), shared.double() / (area[first] + area[second] - shared)


@dataclass(frozen=True)
class Proposals(OverBatch):
    """Pools the groups of several groupings of one image, without near-duplicates, by score.

    The score of a group is its own (what its grouping gave it, mostly 1), times how compact it
    is, times how stable: the length of the mean of its unit embeddings, which is the mean cosine
    of its pixels to its prototype, and the best IoU that it reaches in each of the other
    groupings, averaged over them (with a single grouping, 1).

    Args:
        groupings: at least one; their groups may overlap.
        max_iou: IoU with a better group beyond which a group is a duplicate; 1 keeps all.
        min_area: pixels under which a group is dropped.
        split_components: make each connected part of a group one of its own (pixels touch by
            their faces).

    Raises:
        CongealError: there is no grouping, or a value is out of range.

    Example:
        >>> from congeal.grouping import FlatMeanShift
        >>> near, far = FlatMeanShift(0.2), FlatMeanShift(9.0)
        >>> groups = Proposals((near, far)).group(torch.tensor([[1.0, 1.1, 2.0, 2.1]]))
        >>> [groups.mask(k).int().tolist() for k in (1, 2, 3)]
        [[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]
    """

    groupings: tuple[Grouping, ...]
    max_iou: float = 0.95
    min_area: int = 1
    split_components: bool = False

    def __post_init__(self) -> None:
        if not self.groupings or not all(isinstance(one, Grouping) for one in self.groupings):
            raise CongealError(f"expected one or more groupings, got {self.groupings!r}")
        if not 0 <= self.max_iou <= 1:
            raise CongealError(f"expected max_iou in [0, 1], got {self.max_iou}")

    @classmethod
    def from_concentrations(
        cls,
        concentrations: Sequence[float] = (36.0, 100.0, 400.0),
        *,
        margin: float | None = None,
        max_iou: float = 0.95,
        min_area: int = 8,
        split_components: bool = False,
    ) -> Proposals:
        """Recurrent mean shift with several concentrations, as RPE does.

        Args:
            concentrations: kappa of each; larger ones give smaller groups.
            margin: alpha, modes with a larger cosine are merged; None: derived from each
                concentration, max(0, 1 - 3 / sqrt(kappa)).
            max_iou: see the class.
            min_area: see the class.
            split_components: see the class.

        Raises:
            CongealError: there is none, or a value is out of range.

        Example:
            >>> [round(one.margin, 3) for one in Proposals.from_concentrations().groupings]
            [0.5, 0.7, 0.85]
        """
        if not concentrations or min(concentrations) <= 0:
            raise CongealError(f"expected concentrations > 0, got {concentrations}")
        if margin is not None and not 0 <= margin < 1:
            raise CongealError(f"expected a margin in [0, 1), got {margin}")
        margins = [
            max(0.0, 1 - 3 / math.sqrt(kappa)) if margin is None else margin
            for kappa in concentrations
        ]
        shifts = (
            MeanShift(kappa, its_margin, min_area=min_area)
            for kappa, its_margin in zip(concentrations, margins, strict=True)
        )
        return cls(tuple(shifts), max_iou, min_area, split_components)

    @full_precision
    def group(
        self, embedding: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Groups:
        """Propose objects in one image.

        Args:
            embedding: ``(D, *S)``.
            mask: ``(*S)`` bool, the pixels to group; None: all.
            weights: ``(*S)`` mass of each pixel for the groupings; None: all the same.

        Returns:
            The proposals, the one of the highest score first (not the largest), a layer for each
            layer of a grouping of which any is left; prototypes are mean directions. Classes are
            those of the groupings, if all of them give classes.

        Raises:
            CongealError: shapes do not fit, a value is not finite, or a weight is negative.
        """
        embedding, *_ = take_pixels(embedding, mask, weights)
        with torch.no_grad():
            found = [one.group(embedding, mask, weights) for one in self.groupings]
            pool = _ProposalPool.of(found, self.split_components).select_large(self.min_area)
            means = _mean_directions(pool.layers, embedding, len(pool.scores))
            compact = torch.linalg.vector_norm(means, dim=1).clamp_max(1)  # but for rounding
            scores = (pool.scores * compact * pool.stability(len(found))).to(means.dtype)
            ranked = mask_nms(pool.layers, scores, self.max_iou)
        pool, chosen = pool.select(ranked), ranked - 1
        prototypes = normalise(means[chosen], dim=1)
        return Groups(_filled(pool.layers), prototypes, scores[chosen], pool.classes)


def _mean_directions(layers: Tensor, embedding: Tensor, count: int) -> Tensor:
    """``(K, D)`` mean of the unit embeddings of each group; none is longer than 1."""
    points = normalise(embedding, dim=0).flatten(1).T.contiguous()
    sums = points.new_zeros(count + 1, points.shape[1])
    for layer in layers:
        sums.index_add_(0, layer.flatten(), points)
    area = torch.bincount(layers.flatten(), minlength=count + 1)
    return sums[1:] / area[1:, None]


def _filled(layers: Tensor) -> Tensor:
    """Leave out empty layers, but for the last one left."""
    used = (layers > 0).flatten(1).any(1)
    return layers[used] if bool(used.any()) else layers[:1]


@dataclass(frozen=True)
class _ProposalPool:
    """Groups of several groupings, numbered 1..K across all of them."""

    layers: Tensor  # (L, *S)
    source: Tensor  # (K,) the grouping that each group comes from
    scores: Tensor  # (K,)
    classes: Tensor | None  # (K,)

    @classmethod
    def of(cls, found: Sequence[Groups], split_components: bool) -> _ProposalPool:
        """Pool the groups, or their connected components."""
        layers, source, scores, classes = [], [], [], []
        total = 0
        for number, groups in enumerate(found):
            its_classes = groups.classes
            for layer in groups.layers:
                parts = _split(layer) if split_components else layer
                parent = _parents(parts, layer)  # (k,) group 1..K of each part
                layers.append(torch.where(parts > 0, _consecutive(parts) + total, 0))
                total += len(parent)
                source.append(torch.full_like(parent, number))
                scores.append(groups.scores[parent - 1])
                classes.append(None if its_classes is None else its_classes[parent - 1])
        known = [one for one in classes if one is not None]
        together = torch.cat(known) if len(known) == len(classes) else None
        return cls(torch.stack(layers), torch.cat(source), torch.cat(scores), together)

    def select(self, chosen: Tensor) -> _ProposalPool:
        """Keep some groups 1..K, renumbered in the order given."""
        rename = torch.zeros(len(self.scores) + 1, dtype=torch.int64, device=chosen.device)
        rename[chosen] = torch.arange(1, len(chosen) + 1, device=chosen.device)
        keep = chosen - 1
        classes = None if self.classes is None else self.classes[keep]
        return _ProposalPool(rename[self.layers], self.source[keep], self.scores[keep], classes)

    def select_large(self, min_area: int) -> _ProposalPool:
        """Keep groups of at least ``min_area`` pixels."""
        area = torch.bincount(self.layers.flatten(), minlength=len(self.scores) + 1)[1:]
        return self.select((area >= min_area).nonzero()[:, 0] + 1)

    def stability(self, sources: int) -> Tensor:
        """``(K,)`` best IoU with a group of each other grouping, mean over groupings."""
        if sources == 1:
            return torch.ones_like(self.scores)
        pairs, iou = _overlaps(self.layers, len(self.scores))
        best = iou.new_zeros(len(self.scores), sources)
        for one, other in (pairs, pairs.flip(0)):
            place = one * sources + self.source[other]
            best.view(-1).scatter_reduce_(0, place, iou, "amax")
        best.scatter_(1, self.source[:, None], 0)  # its own grouping does not count
        mean: Tensor = best.sum(1) / (sources - 1)
        return mean


def _consecutive(labels: Tensor) -> Tensor:
    """Number the positive labels 1, 2, ... in their order; 0 stays."""
    ids, index = torch.unique(labels, return_inverse=True)
    numbered: Tensor = index + int((ids > 0).all())
    return numbered


def _parents(parts: Tensor, layer: Tensor) -> Tensor:
    """The label in ``layer`` of each part, in the order of the parts."""
    ids, index = torch.unique(parts, return_inverse=True)
    parent = torch.zeros_like(ids).scatter_(0, index.flatten(), layer.flatten())
    return parent[ids > 0]


def _split(layer: Tensor) -> Tensor:
    """Connected components of each label, by face connectivity, in any dimension."""
    return torch.from_numpy(split_parts(layer.cpu().numpy())).to(layer)
