"""Example pictures of a report: the worst and best images of an evaluation.

Depending on the protocol, pictures show objects, panoptic segments, semantic maps or boundaries.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt
from skimage.measure import block_reduce
from skimage.morphology import thin

from congeal.evaluation.comparison import Comparison
from congeal.evaluation.judge import Judge
from congeal.figures import outline, overlay, to_display
from congeal.figures.maps import overlay_boundary, overlay_classes
from congeal.labels import VOID, areas, contingency, relabel
from congeal.metrics.boundary_matching import MAX_DISTANCE, corner_boundaries
from congeal.metrics.matching import Matching, matching
from congeal.metrics.protocols import Protocol

__all__ = [
    "FOUND",
    "INVENTED",
    "MISSED",
    "Example",
    "RankedExamples",
    "draw_boundary_mistakes",
    "draw_class_mistakes",
    "draw_example",
    "draw_mistakes",
    "kind_of",
    "number_alike",
]

RGB = NDArray[np.uint8]
Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]

PICTURE_SIDE = 640
"""Maximum side of pictures in pixels; larger ones are reduced."""

CLASS_TINT = 0.5
"""Opacity of class colours."""

BOUNDARY_THRESHOLD = 0.5
"""Boundary strength that is drawn, if the protocol gives no best threshold."""

FOUND, MISSED, INVENTED = (60, 190, 90), (235, 60, 60), (255, 176, 32)
"""Colours of true positives, false negatives and false positives."""


@dataclass(frozen=True, eq=False)
class Example:
    """Pictures of one image for a report, `(h, w, 3)` each.

    Attributes:
        scores: the entry of the image in ``per_image``.
        image: the image.
        truth: the image overlaid with the ground truth: objects, segments, classes or boundaries.
        prediction: the image overlaid with the prediction.
        mistakes: true positives (green outline), false negatives (red) and false positives
            (orange); for classes the misclassified pixels (red).
        steps: titles and pictures of intermediate steps, if the model draws any.
    """

    scores: dict[str, Any]
    image: RGB
    truth: RGB
    prediction: RGB
    mistakes: RGB
    steps: tuple[tuple[str, RGB], ...] = ()


class RankedExamples:
    """Keeps the pictures of the worst and best images only.

    In a tie the earlier image is kept. In a small dataset, an image in both sets counts as worst.

    Args:
        worst: number of worst images.
        best: number of best images.
    """

    def __init__(self, worst: int, best: int = 0) -> None:
        self._worst, self._best = _TopK(worst), _TopK(best)
        self._offered = 0

    def offer(self, badness: Sequence[float], draw: Callable[[], Example]) -> None:
        """Offer an image, which is drawn and kept only if it is among the worst or best so far.

        Args:
            badness: sort key, larger is worse.
            draw: function that draws its pictures.
        """
        first, self._offered = -self._offered, self._offered + 1
        once = cache(draw)
        self._worst.offer((*badness, first), once)
        self._best.offer((*(-value for value in badness), first), once)

    def worst_first(self) -> list[Example]:
        """The worst images, worst first."""
        return self._worst.sorted()

    def best_first(self) -> list[Example]:
        """The best images that are not among the worst, best first."""
        worst = {id(example) for example in self._worst.sorted()}
        return [example for example in self._best.sorted() if id(example) not in worst]


class _TopK:
    """Keeps the examples of highest rank."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._heap: list[tuple[tuple[float, ...], Example]] = []  # the lowest is first

    def offer(self, ranks: tuple[float, ...], draw: Callable[[], Example]) -> None:
        if len(self._heap) < self._keep:
            heapq.heappush(self._heap, (ranks, draw()))
        elif self._heap and ranks > self._heap[0][0]:
            heapq.heapreplace(self._heap, (ranks, draw()))

    def sorted(self) -> list[Example]:
        ranked = sorted(self._heap, key=lambda entry: entry[0], reverse=True)
        return [example for _, example in ranked]


def kind_of(protocol: Protocol) -> str:
    """Kind of output that a protocol scores: objects, segments, classes or boundaries.

    Example:
        >>> from congeal.metrics.protocols import PROTOCOLS
        >>> kind_of(PROTOCOLS["miou"]), kind_of(PROTOCOLS["bsds-regions"])
        ('classes', 'objects')
    """
    if protocol.truth == "annotators" and protocol.name != "bsds-regions":
        return "boundaries"
    return {"semantic": "classes", "panoptic": "segments"}.get(protocol.truth, "objects")


def draw_example(scores: dict[str, Any], judge: Judge, comparison: Comparison) -> Example:
    """Draw ground truth, prediction and mistakes of an image.

    Args:
        scores: the entry of the image in ``per_image``.
        judge: the judge, whose protocol determines the kind of picture.
        comparison: the sample with its prediction.
    """
    step = max(1, -(-max(comparison.sample.labels.shape) // PICTURE_SIDE))
    picture = np.asarray(Image.fromarray(to_display(comparison.sample.image)).reduce(step))
    kind = kind_of(judge.protocol)
    if kind == "boundaries":
        cut = scores.get("ods_threshold", BOUNDARY_THRESHOLD)
        return Example(scores, picture, *_draw_boundaries(picture, comparison, step, cut))
    if kind == "classes":
        clusters = judge.protocol.name in ("unsupervised", "retrieval")  # without class ids
        return Example(scores, picture, *_draw_classes(picture, comparison, step, clusters))
    if kind == "segments":
        truth, labels, _, _ = comparison.panoptic(judge.metric.things)  # type: ignore[attr-defined]
    else:
        truth, labels = comparison.sample.labels, comparison.labels
    if judge.protocol.name == "bsds-regions":
        labels = comparison.regions([scores["covering_threshold"]])[0]
    at = judge.thresholds[0] if judge.thresholds else 0.5
    found = matching(prediction=labels, truth=truth, threshold=at)
    return Example(scores, picture, *_draw_objects(picture, truth, labels, found, step))


def draw_mistakes(picture: RGB, truth: Labels, labels: Labels, found: Matching) -> RGB:
    """Draw true positives (green outline), false negatives (red) and false positives (orange).

    Args:
        picture: `(H, W, 3)`, 0 to 255.
        truth: ground-truth label map `(H, W)`.
        labels: predicted label map `(H, W)`.
        found: the matching of their objects.

    Example:
        >>> from congeal.metrics import matching
        >>> truth, labels = np.array([[1, 0, 2]]), np.array([[1, 0, 0]])
        >>> drawn = draw_mistakes(
        ...     np.zeros((1, 3, 3), np.uint8),
        ...     truth,
        ...     labels,
        ...     matching(prediction=labels, truth=truth),
        ... )
        >>> int(drawn[0, 2].argmax())  # missed, so red
        0
    """
    matched_true, matched_pred = (
        np.isin(truth, found.pairs[:, 0]),
        np.isin(labels, found.pairs[:, 1]),
    )
    drawn = picture // 2
    missed = np.where(matched_true, 0, truth)
    drawn = _tint(drawn, missed > 0, MISSED)
    drawn = _tint(drawn, (labels > 0) & (truth >= 0) & ~matched_pred, INVENTED)
    drawn[outline(np.where(matched_pred, labels, 0))] = FOUND
    drawn[outline(missed)] = MISSED  # last, since false positives often cover them
    return drawn


def number_alike(truth: Labels, labels: Labels, found: Matching) -> Labels:
    """Renumber ground-truth objects like their matched predictions, so that colours agree.

    Args:
        truth: ground-truth label map `(H, W)`, negative void.
        labels: predicted label map; unmatched objects get labels above its largest.
        found: the matching of their objects.

    Returns:
        The renumbered ground truth `(H, W)`.

    Example:
        >>> from congeal.metrics import matching
        >>> truth, labels = np.array([[1, 0, 2, -1]]), np.array([[5, 0, 0, 0]])
        >>> number_alike(truth, labels, matching(prediction=labels, truth=truth)).tolist()
        [[5, 0, 7, -1]]
    """
    ids = areas(truth)[0]
    fresh = int(labels.max(initial=0)) + 1 + np.arange(len(ids))
    numbers = np.r_[0, fresh]  # of the objects from 1 on, in ascending order of their ids
    numbers[1 + np.searchsorted(ids, found.pairs[:, 0])] = found.pairs[:, 1]
    renamed: Labels = np.where(truth < 0, truth, numbers[np.maximum(relabel(truth), 0)])
    return renamed


def draw_class_mistakes(picture: RGB, truth: Labels, classes: Labels) -> RGB:
    """Tint misclassified pixels red on a darkened picture; void stays unchanged.

    Args:
        picture: `(H, W, 3)`, 0 to 255.
        truth: ground-truth semantic map `(H, W)`, -1 void.
        classes: predicted semantic map `(H, W)`.

    Example:
        >>> drawn = draw_class_mistakes(np.zeros((1, 3, 3), np.uint8), [[1, 0, -1]], [[1, 1, 1]])
        >>> drawn.any(-1).tolist()
        [[False, True, False]]
    """
    true = np.asarray(truth)
    return _tint(picture // 2, (true != VOID) & (true != np.asarray(classes)), MISSED)


def draw_boundary_mistakes(picture: RGB, truth: Mask, lines: Mask, tolerance: float) -> RGB:
    """Draw boundaries: true positives (green), false negatives (red), false positives (orange).

    Args:
        picture: `(H, W, 3)`, 0 to 255.
        truth: boundaries marked by any annotator, `(H, W)`.
        lines: predicted boundaries, thinned, `(H, W)`.
        tolerance: maximum distance of a match in pixels.

    Example:
        >>> truth, lines = np.eye(5, dtype=bool)[:1], np.eye(5, dtype=bool)[1:2]
        >>> drawn = draw_boundary_mistakes(np.zeros((1, 5, 3), np.uint8), truth, lines, tolerance=1)
        >>> tuple(drawn[0, 1].tolist()) == FOUND, int(drawn[0, 0].sum())
        (True, 0)
    """
    drawn = picture // 2
    drawn[truth & ~_near(lines, tolerance)] = MISSED
    drawn[lines & ~_near(truth, tolerance)] = INVENTED
    drawn[lines & _near(truth, tolerance)] = FOUND
    return drawn


def _draw_objects(
    picture: RGB, truth: Labels, labels: Labels, found: Matching, step: int
) -> tuple[RGB, RGB, RGB]:
    # Labels cannot be averaged, so each block is represented by its first pixel.
    small, predicted = truth[::step, ::step], labels[::step, ::step]
    alike = number_alike(truth, labels, found)[::step, ::step]
    mistakes = draw_mistakes(picture, small, predicted, found)
    return overlay(picture, alike), overlay(picture, predicted), mistakes


def _draw_classes(
    picture: RGB, comparison: Comparison, step: int, clusters: bool
) -> tuple[RGB, RGB, RGB]:
    whole = (
        _most_common(comparison.true_classes, comparison.clusters)
        if clusters
        else comparison.predicted_classes
    )
    truth, predicted = comparison.true_classes[::step, ::step], whole[::step, ::step]
    return (
        overlay_classes(picture, truth, CLASS_TINT),
        overlay_classes(picture, predicted, CLASS_TINT),
        draw_class_mistakes(picture, truth, predicted),
    )


def _draw_boundaries(
    picture: RGB, comparison: Comparison, step: int, cut: float
) -> tuple[RGB, RGB, RGB]:
    drawn = [np.asarray(part) for part in comparison.annotated_boundaries()]
    lines = [part if part.dtype == np.bool_ else corner_boundaries(part) for part in drawn]
    truth, found = np.mean(lines, axis=0), comparison.contours()
    tolerance = max(1.0, MAX_DISTANCE * math.hypot(*truth.shape) / step)
    strong = _shrink(thin(found >= cut), step)
    return (
        overlay_boundary(picture, _shrink(truth, step)),
        overlay_boundary(picture, _shrink(found, step)),
        draw_boundary_mistakes(picture, _shrink(truth > 0, step), strong, tolerance),
    )


def _shrink(values: NDArray[Any], step: int) -> NDArray[Any]:
    """Reduce by the maximum of each block, so that thin lines are preserved."""
    return np.asarray(block_reduce(values, step, np.max)) if step > 1 else values


def _near(lines: Mask, distance: float) -> Mask:
    """Mark the pixels `(H, W)` within a distance of a line."""
    if not lines.any():
        return np.zeros_like(lines)
    return np.asarray(distance_transform_edt(~lines) <= distance)


def _tint(picture: RGB, where: NDArray[np.bool_], colour: tuple[int, int, int]) -> RGB:
    mixed = picture * 0.4 + np.array(colour) * 0.6
    return np.where(where[..., None], mixed, picture).astype(np.uint8)


def _most_common(truth: Labels, clusters: Labels) -> Labels:
    """Map each cluster to the most frequent ground-truth class of its pixels, `(H, W)`."""
    table = contingency(truth, clusters)
    renamed = np.arange(clusters.max(initial=0) + 1)
    for number, cluster in enumerate(table.pred_ids):
        mine = table.cols == number
        renamed[cluster] = table.true_ids[table.rows[mine][table.counts[mine].argmax()]]
    return np.asarray(renamed[clusters])
