"""The matching of COCO, in one pass over the detections of an image for all thresholds.

The official tool compares every detection with every object at every threshold in Python, minutes
for a few images with hundreds of objects. Here a detection is compared with what it overlaps
enough, at all thresholds together. All the rest stays the official tool's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

__all__ = ["CocoRun", "match_detections"]

Scores = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class CocoRun(COCOeval):  # type: ignore[misc]
    """The official ``COCOeval`` with its matching done by :func:`match_detections`."""

    def evaluateImg(  # noqa: N802
        self,
        imgId: int,
        catId: int,
        aRng: Sequence[float],
        maxDet: int,
    ) -> dict[str, Any] | None:
        """Match one image and class at one range of areas, in the official tool's own format."""
        true, pred = self._of(self._gts, imgId, catId), self._of(self._dts, imgId, catId)
        if not true and not pred:
            return None
        ignored = np.array([bool(g["ignore"]) or _outside(g, aRng) for g in true], np.bool_)
        order = np.argsort(ignored, kind="stable")
        true, ignored = [true[g] for g in order], ignored[order]
        rank = np.argsort([-d["score"] for d in pred], kind="stable")[:maxDet]
        pred = [pred[d] for d in rank]
        iou = np.asarray(self.ious[imgId, catId], np.float64).reshape(len(pred), len(true))
        crowd = np.array([bool(g["iscrowd"]) for g in true], np.bool_)
        at, back = match_detections(iou[:, order], self.params.iouThrs, ignored, crowd)
        none = np.array([_outside(d, aRng) for d in pred], np.bool_)
        return {
            "image_id": imgId,
            "category_id": catId,
            "aRng": aRng,
            "maxDet": maxDet,
            "dtIds": [d["id"] for d in pred],
            "gtIds": [g["id"] for g in true],
            "dtMatches": _ids(true, at),
            "gtMatches": _ids(pred, back),
            "dtScores": [d["score"] for d in pred],
            "gtIgnore": ignored.astype(np.int64),
            "dtIgnore": np.where(at >= 0, np.append(ignored, False)[at], none),
        }

    def _of(self, side: Any, image: int, category: int) -> list[dict[str, Any]]:
        if self.params.useCats:
            return list(side[image, category])
        return [one for c in self.params.catIds for one in side[image, c]]


def match_detections(
    iou: Scores, thresholds: Scores, ignored: Flags, crowd: Flags
) -> tuple[Integers, Integers]:
    """Match detections to objects in the order of rows, at each threshold by itself.

    A detection takes the object of highest IoU, from the threshold on, that is free or a crowd; of
    equal ones the last. An ignored object is taken only when no other can be.

    Args:
        iou: detections against objects, ``(N, G)``.
        thresholds: ``(T,)``.
        ignored: objects that do not count, ``(G,)``.
        crowd: objects that may be matched often, ``(G,)``.

    Returns:
        The object of each detection ``(T, N)`` and the last detection of each object ``(T, G)``,
        -1 for none.

    Example:
        >>> iou, no = np.array([[0.6, 0.7], [0.5, 0.9]]), np.array([False, False])
        >>> match_detections(iou, np.array([0.5, 0.8]), no, no)[0]
        array([[ 1,  0],
               [-1,  1]])
    """
    least = np.minimum(thresholds, 1 - 1e-10)
    at = np.full((len(least), iou.shape[0]), -1, np.int64)
    back = np.full((len(least), iou.shape[1]), -1, np.int64)
    near = iou >= least.min()
    for k in np.flatnonzero(near.any(1)):
        these = np.flatnonzero(near[k])[::-1]  # the last first, as argmax takes the first
        values = iou[k, these]
        able = (values >= least[:, None]) & ((back[:, these] < 0) | crowd[these])
        counted = able & ~ignored[these]
        able = np.where(counted.any(1, keepdims=True), counted, able)
        best = np.where(able, values, -1.0).argmax(1)
        rows = np.flatnonzero(able.any(1))
        at[rows, k] = these[best[rows]]
        back[rows, these[best[rows]]] = k
    return at, back


def _outside(one: dict[str, Any], area: Sequence[float]) -> bool:
    return bool(one["area"] < area[0] or one["area"] > area[1])


def _ids(objects: Sequence[dict[str, Any]], index: Integers) -> Scores:
    """Give the ids of the objects at an index, 0 for -1."""
    return np.array([*(one["id"] for one in objects), 0], np.float64)[index]
