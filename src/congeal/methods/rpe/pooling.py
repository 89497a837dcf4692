"""Proposals: objects of several groupings of one image, pooled and ranked (RPE, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from congeal.grouping.proposals import mask_nms
from congeal.labels import contingency

__all__ = ["RankedMasks", "pool_proposals"]

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


class RankedMasks(NamedTuple):
    """Proposals in descending order of score.

    Attributes:
        masks: ``(N, H, W)`` bool; they may overlap.
        scores: ``(N,)``.
    """

    masks: NDArray[np.bool_]
    scores: Floats


def pool_proposals(
    maps: Sequence[Labels],
    scores: Sequence[Floats],
    *,
    max_iou: float = 0.9,
    max_proposals: int = 200,
) -> RankedMasks:
    """Pool the objects of several label maps without near-duplicates, highest score first.

    The score of an object is multiplied by its stability: the mean over all maps, including its
    own, of its best IoU with the objects of the map.

    Args:
        maps: label maps ``(H, W)`` of one image, objects 1 to K in each.
        scores: ``(K,)`` in [0, 1] of the objects of each map.
        max_iou: objects with a larger IoU with an object of higher score are removed.
        max_proposals: maximum number of objects.

    Example:
        >>> one, two = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])
        >>> found = pool_proposals([one, two], [np.array([0.9, 0.5]), np.array([0.8])])
        >>> found.masks[:, 0].astype(int).tolist(), found.scores.round(3).tolist()
        ([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]], [0.675, 0.6, 0.375])
    """
    products = [own * _stability(maps, place) for place, own in enumerate(scores)]
    ranked = np.concatenate(products) if products else np.zeros(0)
    starts = np.cumsum([0, *(len(own) for own in products)])
    layers = [np.where(one > 0, one + start, 0) for one, start in zip(maps, starts, strict=False)]
    kept = mask_nms(torch.from_numpy(np.stack(layers)), torch.from_numpy(ranked), max_iou)
    numbers = kept.numpy()[:max_proposals]
    source = np.searchsorted(starts, numbers, side="left") - 1
    masks = [layers[place] == number for place, number in zip(source, numbers, strict=True)]
    shape = (len(masks), *maps[0].shape)
    return RankedMasks(np.array(masks, bool).reshape(shape), ranked[numbers - 1])


def _stability(maps: Sequence[Labels], place: int) -> Floats:
    """``(K,)``: best IoU of each object of a map with the objects of each map, mean over maps."""
    own = maps[place]
    total = np.ones(int(own.max(initial=0)))
    for other in (one for number, one in enumerate(maps) if number != place):
        pairs = contingency(own, other).objects()
        joined = pairs.true_areas[pairs.rows] + pairs.pred_areas[pairs.cols] - pairs.counts
        best = np.zeros(len(total))
        np.maximum.at(best, pairs.true_ids[pairs.rows] - 1, pairs.counts / joined)
        total += best
    return total / len(maps)
