"""Candidates that the verification learns from: found ones, and true objects beside them.

Flow: value map -> candidates of one bandwidth -> :func:`draw_candidates` ->
label map -> true masks -> :func:`shift_masks` -> verification.
"""

from __future__ import annotations

import torch
from torch import Tensor

from congeal.methods.dvis.candidates import mask_iou

__all__ = ["draw_candidates", "shift_masks", "true_masks"]


def true_masks(labels: Tensor) -> Tensor:
    """The objects of a label map ``(h, w)`` as masks ``(K, h, w)`` bool.

    Example:
        >>> true_masks(torch.tensor([[-1, 0, 7, 7, 2]])).int().tolist()
        [[[0, 0, 0, 0, 1]], [[0, 0, 1, 1, 0]]]
    """
    numbers = torch.unique(labels[labels > 0])
    masks: Tensor = labels == numbers[:, None, None]
    return masks


def draw_candidates(
    masks: Tensor,
    truth: Tensor,
    count: int,
    *,
    positive_iou: float = 0.2,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw candidates, half of them such as overlap an object where there are enough.

    A value map that is not yet learnt falls into many fragments, among which a uniform draw
    would rarely hit an object.

    Args:
        masks: ``(N, h, w)`` bool, candidates.
        truth: ``(K, h, w)`` bool, objects.
        count: candidates to draw at most.
        positive_iou: from which IoU on a candidate counts as one of an object.
        generator: of the draw, on the CPU.

    Returns:
        ``(M, h, w)`` bool, M the smaller of N and ``count``.

    Example:
        >>> masks = torch.eye(6, dtype=torch.bool)[:, None]
        >>> draw_candidates(masks, masks[4:5], 2)[:, 0, 4].tolist()
        [True, False]
    """
    order = torch.randperm(len(masks), generator=generator).to(masks.device)
    if len(order) > count and len(truth):
        good = (mask_iou(masks, truth).amax(1) >= positive_iou)[order]
        half = count // 2
        most_good = max(half, count - int((~good).sum()))
        order = torch.cat([order[good][:most_good], order[~good]])
    return masks[order[:count]]


def shift_masks(masks: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Shift every other mask by up to a share of the root of its area along each axis.

    What leaves the map is lost; a mask that would vanish stays where it is.

    Args:
        masks: ``(N, h, w)`` bool.
        share: of the root of the area, 0 and up.
        generator: of the draw, on the CPU.

    Example:
        >>> masks = torch.zeros(2, 9, 9, dtype=torch.bool)
        >>> masks[:, 3:6, 3:6] = True
        >>> moved = shift_masks(masks, 0.5, torch.Generator().manual_seed(1))
        >>> bool((moved[0] == masks[0]).all()), moved.sum((1, 2)).tolist()
        (True, [9, 9])
    """
    if not len(masks) or not share:
        return masks
    reach = share * masks.sum((1, 2)).sqrt()[1::2].cpu()  # (N // 2,)
    steps = (2 * torch.rand(len(reach), 2, generator=generator) - 1) * reach[:, None]
    shifted = masks.clone()
    for number, (down, right) in enumerate(steps.round().long().tolist()):
        moved = _shift(masks[2 * number + 1], down, right)
        if moved.any():
            shifted[2 * number + 1] = moved
    return shifted


def _shift(mask: Tensor, down: int, right: int) -> Tensor:
    moved = torch.zeros_like(mask)
    height, width = mask.shape
    rows, columns = max(0, height - abs(down)), max(0, width - abs(right))
    top, left = max(0, down), max(0, right)
    moved[top : top + rows, left : left + columns] = mask[
        max(0, -down) : max(0, -down) + rows, max(0, -right) : max(0, -right) + columns
    ]
    return moved
