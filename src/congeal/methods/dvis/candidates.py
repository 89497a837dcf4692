"""Candidates for objects: the groups of a value map by mean shift of several bandwidths.

Flow: value map -> mean shift -> :class:`Candidates` -> verification -> objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.grouping.components import fill_holes, split_parts
from congeal.grouping.flat_shift import FlatMeanShift
from congeal.grouping.scalar_shift import ScalarMeanShift

__all__ = ["Candidates", "find_candidates", "mask_iou", "suppress"]


@dataclass(frozen=True)
class Candidates:
    """Possible objects of an image, at the resolution of the value map; they may overlap.

    Attributes:
        masks: ``(N, h, w)`` bool, none empty.
        cohesion: ``(N,)`` 1 - (mean distance of the values from their mode) / bandwidth, [0, 1].
    """

    masks: Tensor
    cohesion: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def select(self, index: Tensor) -> Candidates:
        """Those of some indices, or of a truth value each."""
        return Candidates(self.masks[index], self.cohesion[index])


def mask_iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of masks, ``(N, h, w)`` and ``(M, h, w)`` bool, ``(N, M)``.

    Example:
        >>> masks = torch.tensor([[[True, True, False]], [[False, True, True]]])
        >>> mask_iou(masks, masks[:1]).flatten().tolist()
        [1.0, 0.3333333432674408]
    """
    first, second = one.flatten(1).float(), other.flatten(1).float()
    shared = first @ second.T  # exact below 2^24 pixels
    union = first.sum(1)[:, None] + second.sum(1) - shared
    return shared / union.clamp_min(1)


def suppress(masks: Tensor, scores: Tensor, max_overlap: float) -> Tensor:
    """Indices of the masks that no better one overlaps by more, best first.

    Args:
        masks: ``(N, h, w)`` bool.
        scores: ``(N,)``; of two alike the earlier is the better.
        max_overlap: intersection over union that is still allowed.

    Example:
        >>> masks = torch.tensor([[[1, 1, 0]], [[1, 1, 1]], [[0, 0, 1]]]).bool()
        >>> suppress(masks, torch.tensor([0.8, 0.5, 0.7]), 0.3).tolist()
        [0, 2]
    """
    close = (mask_iou(masks, masks) > max_overlap).tolist()
    kept: list[int] = []
    for one in scores.argsort(descending=True, stable=True).tolist():
        if not any(close[one][better] for better in kept):
            kept.append(one)
    return torch.tensor(kept, dtype=torch.int64, device=masks.device)


def find_candidates(
    values: Tensor,
    *,
    bandwidths: tuple[float, ...] = (0.9, 0.4),
    foreground_threshold: float = 1.0,
    min_area: float = 1.0,
    split_components: bool = False,
    duplicate_iou: float = 0.9,
    max_candidates: int | None = None,
    holes: bool = False,
) -> Candidates:
    """Group the pixels of a value map, once per bandwidth, and pool the groups.

    Args:
        values: ``(C, h, w)`` floats after the ReLU. One number is grouped exactly, by sorting;
            several by balls of the bandwidth's radius.
        bandwidths: of the flat kernel.
        foreground_threshold: pixels whose largest number is less take no part.
        min_area: pixels of the map that a candidate has at least.
        split_components: split groups into parts joined face to face.
        duplicate_iou: candidates that overlap one of an earlier bandwidth by as much are left out.
        max_candidates: the largest stay; None: all.
        holes: fill holes in candidates.

    Returns:
        Candidates, largest first.

    Example:
        >>> values = torch.tensor([[[0.0, 2.0, 2.0, 2.6, 2.6]]])
        >>> find_candidates(values).masks.sum((1, 2)).tolist()
        [4, 2, 2]
    """
    smallest = max(1, round(min_area))
    if len(values) == 1:
        groups = ScalarMeanShift(
            tuple(bandwidths),
            foreground_threshold,
            smallest,
            duplicate_iou,
            split_components=split_components,
        ).group(values)
        found = Candidates(*_masks(groups.layers, groups.scores, max_candidates))
    else:
        parts = [_balls(values, b, foreground_threshold, split_components) for b in bandwidths]
        found = _pool(parts, smallest, duplicate_iou, max_candidates)
    return _filled(found) if holes else found


def _masks(labels: Tensor, scores: Tensor, most: int | None) -> tuple[Tensor, Tensor]:
    """Masks ``(N, h, w)`` of the first labels of ``(L, h, w)`` layers that share no label."""
    layers = labels.reshape(-1, *labels.shape[-2:])
    count = len(scores) if most is None else min(most, len(scores))
    numbers = torch.arange(1, count + 1, device=labels.device)
    masks = torch.zeros((count, *layers.shape[1:]), dtype=torch.bool, device=labels.device)
    for layer in layers:
        masks |= layer == numbers[:, None, None]
    return masks, scores[:count]


def _balls(values: Tensor, bandwidth: float, threshold: float, split: bool) -> Candidates:
    """The groups of one bandwidth in R^C."""
    mask = values.amax(0) >= threshold
    groups = FlatMeanShift(bandwidth).group(values, mask)
    labels, modes = groups.labels, groups.prototypes  # (h, w), (K, C)
    if split:
        parts = torch.from_numpy(split_parts(labels.cpu().numpy())).to(labels.device)
        whole = parts.new_zeros(int(parts.max()) + 1).index_copy(
            0, parts.flatten(), labels.flatten()
        )
        labels, modes = parts, modes[whole[1:] - 1]
    masks, _ = _masks(labels, modes[:, 0], None)
    away = (
        torch.stack([(values - mode[:, None, None]).norm(dim=0) for mode in modes])
        if len(modes)
        else values.new_zeros(masks.shape)
    )
    mean = (away * masks).sum((1, 2)) / masks.sum((1, 2)).clamp_min(1)
    return Candidates(masks, (1 - mean / bandwidth).clamp(0, 1))


def _pool(
    parts: list[Candidates], smallest: int, duplicate_iou: float, most: int | None
) -> Candidates:
    """Candidates of all bandwidths, without the small and what is there already."""
    kept = parts[0].select(parts[0].masks.sum((1, 2)) >= smallest)
    for part in parts[1:]:
        part = part.select(part.masks.sum((1, 2)) >= smallest)
        if len(kept) and len(part):
            part = part.select(mask_iou(part.masks, kept.masks).amax(1) < duplicate_iou)
        kept = Candidates(
            torch.cat([kept.masks, part.masks]), torch.cat([kept.cohesion, part.cohesion])
        )
    order = kept.masks.sum((1, 2)).argsort(descending=True, stable=True)
    return kept.select(order[:most])


def _filled(candidates: Candidates) -> Candidates:
    masks = [fill_holes(mask.long().cpu().numpy()) > 0 for mask in candidates.masks]
    if not masks:
        return candidates
    filled = torch.stack([torch.from_numpy(mask) for mask in masks])
    return Candidates(filled.to(candidates.masks.device), candidates.cohesion)
