"""Objects of several groupings of one image, pooled and ranked (RPE, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from congeal.grouping.proposals import mask_nms
from congeal.labels import contingency

__all__ = ["RankedMasks", "pool_objects"]

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


class RankedMasks(NamedTuple):
    """Proposals by falling score.

    Attributes:
        masks: ``(N, H, W)`` bool; they may overlap.
        scores: ``(N,)``.
    """

    masks: NDArray[np.bool_]
    scores: Floats


def pool_objects(
    maps: Sequence[Labels], scores: Sequence[Floats], *, overlap: float = 0.9, most: int = 200
) -> RankedMasks:
    """Pool the objects of several label maps, without near-duplicates, by score.

    The score of an object is its own times how stable it is: the best IoU that it reaches in each
    of the maps, its own included, averaged over them.

    Args:
        maps: label maps ``(H, W)`` of one image, objects 1 to K in each.
        scores: ``(K,)`` in [0, 1] of the objects of each map.
        overlap: IoU with a better object beyond which an object is a duplicate.
        most: objects kept.

    Example:
        >>> one, two = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])
        >>> found = pool_objects([one, two], [np.array([0.9, 0.5]), np.array([0.8])])
        >>> found.masks[:, 0].astype(int).tolist(), found.scores.round(3).tolist()
        ([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]], [0.675, 0.6, 0.375])
    """
    sure = [own * _stability(maps, place) for place, own in enumerate(scores)]
    ranked = np.concatenate(sure) if sure else np.zeros(0)
    starts = np.cumsum([0, *(len(own) for own in sure)])
    layers = [np.where(one > 0, one + start, 0) for one, start in zip(maps, starts, strict=False)]
    kept = mask_nms(torch.from_numpy(np.stack(layers)), torch.from_numpy(ranked), overlap)
    numbers = kept.numpy()[:most]
    source = np.searchsorted(starts, numbers, side="left") - 1
    masks = [layers[place] == number for place, number in zip(source, numbers, strict=True)]
    shape = (len(masks), *maps[0].shape)
    return RankedMasks(np.array(masks, bool).reshape(shape), ranked[numbers - 1])


def _stability(maps: Sequence[Labels], place: int) -> Floats:
    """``(K,)`` best IoU of the objects of a map with those of each map, averaged."""
    own = maps[place]
    total = np.ones(int(own.max(initial=0)))
    for other in (one for number, one in enumerate(maps) if number != place):
        pairs = contingency(own, other).objects()
        joined = pairs.true_areas[pairs.rows] + pairs.pred_areas[pairs.cols] - pairs.counts
        best = np.zeros(len(total))
        np.maximum.at(best, pairs.true_ids[pairs.rows] - 1, pairs.counts / joined)
        total += best
    return total / len(maps)
