"""COCO's matching of detections and objects, vectorised over IoU thresholds.

The official tool loops over thresholds, detections and objects in Python, which takes minutes for a
few images with hundreds of objects. Here each detection is compared with the objects it overlaps,
at all thresholds at once. Everything else is done by the official tool.
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
        """Match one image and class in one area range; returns the official tool's format."""
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
    """Match detections to objects in order of rows, independently at each threshold.

    A detection matches the object of highest IoU >= threshold that is unmatched or a crowd (in a
    tie the last). An ignored object is matched only if no other object can be.

    Args:
        iou: IoU of detections and objects, ``(N, G)``.
        thresholds: IoU thresholds ``(T,)``.
        ignored: objects that are not evaluated, ``(G,)``.
        crowd: objects that may match several detections, ``(G,)``.

    Returns:
        Index of the object of each detection ``(T, N)``, and of the last detection of each object
        ``(T, G)``; -1 without match.

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
        candidates = np.flatnonzero(near[k])[
            ::-1
        ]  # reversed: argmax takes the first, COCO the last
        values = iou[k, candidates]
        allowed = (values >= least[:, None]) & ((back[:, candidates] < 0) | crowd[candidates])
        evaluated = allowed & ~ignored[candidates]
        allowed = np.where(evaluated.any(1, keepdims=True), evaluated, allowed)
        best = np.where(allowed, values, -1.0).argmax(1)
        rows = np.flatnonzero(allowed.any(1))
        at[rows, k] = candidates[best[rows]]
        back[rows, candidates[best[rows]]] = k
    return at, back


def _outside(entry: dict[str, Any], area: Sequence[float]) -> bool:
    return bool(entry["area"] < area[0] or entry["area"] > area[1])


def _ids(objects: Sequence[dict[str, Any]], index: Integers) -> Scores:
    """Ids of the objects at given indices; 0 for -1."""
    return np.array([*(one["id"] for one in objects), 0], np.float64)[index]
