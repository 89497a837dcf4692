"""The images a report shows: the worst of a stream, kept as small pictures."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from congeal.data.sample import Sample
from congeal.figures import outline, overlay, to_display
from congeal.labels import areas, relabel
from congeal.metrics.matching import Matching
from congeal.metrics.protocols import PROTOCOLS

__all__ = [
    "FOUND",
    "INVENTED",
    "MISSED",
    "Example",
    "WorstExamples",
    "badness_of",
    "draw_mistakes",
    "number_alike",
]

RGB = NDArray[np.uint8]
Labels = NDArray[np.int64]

PICTURE_SIDE = 640
"""Longest side in pixels to which pictures are reduced."""

FOUND, MISSED, INVENTED = (60, 190, 90), (235, 60, 60), (255, 176, 32)
"""Colours of objects that were found, missed, and predicted where there is none."""


@dataclass(frozen=True, eq=False)
class Example:
    """One image of a report, with pictures `(h, w, 3)` of the size of a page.

    Attributes:
        scores: the entry of the image in ``per_image``.
        image: the image itself.
        truth: the true objects drawn over it.
        prediction: the predicted objects drawn over it.
        mistakes: objects found (green line), missed (red) and predicted in vain (orange).
    """

    scores: dict[str, Any]
    image: RGB
    truth: RGB
    prediction: RGB
    mistakes: RGB


class WorstExamples:
    """Keeps pictures of the worst images of a stream, and of no others.

    Worse is what the caller says, then a lower AP at the first threshold, then a lower mean AP,
    then more mistakes, then earlier. An image that has no objects and in which none were
    predicted has an AP of 0 by convention; it is no failure and counts as best.

    Args:
        keep: how many images.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._offered = 0
        self._heap: list[tuple[tuple[float, ...], Example]] = []  # the least bad one is first

    def offer(
        self,
        scores: dict[str, Any],
        found: Sequence[Matching],
        sample: Sample,
        labels: Labels,
        badness: float | None = None,
    ) -> None:
        """Look at one image; it is drawn and kept only if it is among the worst so far.

        Args:
            scores: the entry of the image in ``per_image``.
            found: which objects match, one for each threshold.
            sample: the image and its true objects.
            labels: the predicted objects, `(H, W)`.
            badness: comes before all else in the ranking, larger is worse.
        """
        ranks = (badness or 0.0, *_badness(found), -self._offered)
        self._offered += 1
        if len(self._heap) < self._keep:
            heapq.heappush(self._heap, (ranks, _draw(scores, found[0], sample, labels)))
        elif self._heap and ranks > self._heap[0][0]:
            heapq.heapreplace(self._heap, (ranks, _draw(scores, found[0], sample, labels)))

    def worst_first(self) -> list[Example]:
        """Give what is kept, the worst first."""
        ranked = sorted(self._heap, key=lambda entry: entry[0], reverse=True)
        return [example for _, example in ranked]


def badness_of(protocol: str, headline: str, scores: Mapping[str, Any]) -> float:
    """Rank an image by its headline: larger is worse, minus infinity where nothing can be said.

    Args:
        protocol: its name.
        headline: which of the scores to look at.
        scores: the entry of the image in ``per_image``.

    Example:
        >>> badness_of("cvppp", "sbd", {"sbd": 0.25, "true": 3, "predicted": 2})
        -0.25
    """
    value, higher = float(scores[headline]), PROTOCOLS[protocol].higher
    nothing = scores["true"] == scores["predicted"] == 0
    if nothing or (value == -1 and protocol.startswith("coco")):  # no object to find
        return -math.inf
    if math.isnan(value):  # objects to which there is no distance were not found
        return math.inf if scores["true"] and not higher else -math.inf
    return -value if higher else value


def draw_mistakes(picture: RGB, truth: Labels, labels: Labels, found: Matching) -> RGB:
    """Draw what was found (green line), missed (red) and predicted in vain (orange).

    Args:
        picture: `(H, W, 3)`, 0 to 255.
        truth: true label map `(H, W)`.
        labels: predicted label map `(H, W)`.
        found: which of their objects match.

    Example:
        >>> from congeal.metrics import matching
        >>> truth, labels = np.array([[1, 0, 2]]), np.array([[1, 0, 0]])
        >>> drawn = draw_mistakes(
        ...     np.zeros((1, 3, 3), np.uint8), truth, labels, matching(truth, labels)
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
    drawn[outline(missed)] = MISSED  # last, since what was predicted in vain often covers them
    return drawn


def number_alike(truth: Labels, labels: Labels, found: Matching) -> Labels:
    """Number true objects as the predicted ones that they match, so that colours mostly agree.

    Args:
        truth: true label map `(H, W)`, negative void.
        labels: predicted label map; objects that are missed get numbers beyond its own.
        found: which of their objects match.

    Returns:
        The truth `(H, W)` under other numbers.

    Example:
        >>> from congeal.metrics import matching
        >>> truth, labels = np.array([[1, 0, 2, -1]]), np.array([[5, 0, 0, 0]])
        >>> number_alike(truth, labels, matching(truth, labels)).tolist()
        [[5, 0, 7, -1]]
    """
    ids = areas(truth)[0]
    fresh = int(labels.max(initial=0)) + 1 + np.arange(len(ids))
    numbers = np.r_[0, fresh]  # of the objects from 1 on, in ascending order of their ids
    numbers[1 + np.searchsorted(ids, found.pairs[:, 0])] = found.pairs[:, 1]
    renamed: Labels = np.where(truth < 0, truth, numbers[np.maximum(relabel(truth), 0)])
    return renamed


def _badness(found: Sequence[Matching]) -> tuple[float, float, int]:
    mistakes = [m.fp + m.fn for m in found]
    scores = [m.ap if wrong else 1.0 for m, wrong in zip(found, mistakes, strict=True)]
    return -scores[0], -sum(scores) / len(scores), sum(mistakes)


def _draw(scores: dict[str, Any], found: Matching, sample: Sample, labels: Labels) -> Example:
    step = max(1, -(-max(labels.shape) // PICTURE_SIDE))
    picture = np.asarray(Image.fromarray(to_display(sample.image)).reduce(step))
    # Ids cannot be averaged; one pixel of each block stands for it.
    truth, predicted = sample.labels[::step, ::step], labels[::step, ::step]
    alike = number_alike(sample.labels, labels, found)[::step, ::step]
    return Example(
        scores,
        image=picture,
        truth=overlay(picture, alike),
        prediction=overlay(picture, predicted),
        mistakes=draw_mistakes(picture, truth, predicted, found),
    )


def _tint(picture: RGB, where: NDArray[np.bool_], colour: tuple[int, int, int]) -> RGB:
    mixed = picture * 0.4 + np.array(colour) * 0.6
    return np.where(where[..., None], mixed, picture).astype(np.uint8)
