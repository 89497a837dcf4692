"""Prototypes of predicted segments, and the memory bank built from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from congeal.data.sample import Dataset
from congeal.errors import CongealError
from congeal.evaluation.comparison import Comparison
from congeal.evaluation.memory import Memory
from congeal.labels import VOID
from congeal.segmentation import Segmentation, Segmenter

__all__ = ["EmbeddingSegmenter", "LabelledSegments", "build_memory", "segments_of"]

Labels = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelledSegments:
    """The segments of an image or several.

    Attributes:
        prototypes: normalised mean embedding of each segment, `(N, D)`.
        classes: most frequent ground-truth class of its pixels, `(N,)`; -1 if all are void.
        areas: number of pixels of each segment, `(N,)`.
    """

    prototypes: Values
    classes: Labels
    areas: Labels


class EmbeddingSegmenter:
    """Wrapper of a model whose results contain the embedding, if the model supports it.

    Args:
        model: the model.
    """

    def __init__(self, model: Segmenter) -> None:
        segment: Any = model.segment
        supported = "keep_embedding" in inspect.signature(segment).parameters
        self._segment = partial(segment, keep_embedding=True) if supported else segment

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Segment an image `(H, W, C)`."""
        found: Segmentation = self._segment(image)
        return found


def build_memory(
    model: Segmenter,
    dataset: Dataset,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Memory:
    """Build a memory bank from the segments, with a class, of the images of a dataset.

    Args:
        model: the model.
        dataset: images with semantic maps.
        on_image: called with (number, total) after each image.

    Raises:
        CongealError: no segment has a class, or a result has no embedding.
    """
    kept = []
    for number, sample in enumerate(dataset, 1):
        comparison = Comparison(sample, model.segment(sample.image), dataset)
        kept.append(_with_class(segments_of(comparison)))
        on_image(number, len(dataset))
    if not any(len(classes) for _, classes in kept):
        raise CongealError(f"expected segments with a class for retrieval, {dataset!r} has none")
    return Memory(
        np.concatenate([prototypes for prototypes, _ in kept]),
        np.concatenate([classes for _, classes in kept]),
    )


def _with_class(found: LabelledSegments) -> tuple[Values, Labels]:
    return found.prototypes[found.classes >= 0], found.classes[found.classes >= 0]


def segments_of(comparison: Comparison) -> LabelledSegments:
    """Prototype, class and area of each predicted object of an image.

    Raises:
        CongealError: the result has no embedding.

    Source:
        Hwang et al., SegSort, ICCV 2019, section 3.

    Example:
        >>> from congeal.data.sample import Sample
        >>> from congeal.data import open_dataset
        >>> labels = np.array([[1, 1], [2, 2]])
        >>> sample = Sample("a", np.zeros((2, 2, 1)), labels, classes=np.array([5, 6]))
        >>> found = Segmentation.from_labels(labels, embedding=np.array([[[3.0, 3], [-2, -2]]]))
        >>> segments = segments_of(Comparison(sample, found, open_dataset("discs", count=1)))
        >>> segments.prototypes.tolist(), segments.classes.tolist()
        ([[1.0], [-1.0]], [5, 6])
    """
    embedding = comparison.result.embedding
    if embedding is None:
        raise CongealError("expected results with an embedding for protocol retrieval, got none")
    count = len(comparison.result)
    sums = _cell_weights(comparison.labels, count, embedding.shape[1:]) @ (
        embedding.reshape(len(embedding), -1).T.astype(np.float64)
    )  # (N, D)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return LabelledSegments(
        np.asarray(sums / np.maximum(lengths, 1e-12)),
        _majority(comparison.labels, comparison.true_classes, count),
        np.bincount(comparison.labels.ravel(), minlength=count + 1)[1:],
    )


def _cell_weights(labels: Labels, count: int, shape: tuple[int, ...]) -> Any:
    """Count the pixels of each segment in each cell of the embedding, sparse `(N, h w)`."""
    rows, cols = (
        np.arange(side) * cells // side for side, cells in zip(labels.shape, shape, strict=True)
    )
    cells = (rows[:, None] * shape[1] + cols)[labels > 0]
    numbers = labels[labels > 0] - 1
    size = (count, shape[0] * shape[1])
    return sparse.csr_array((np.ones(len(cells)), (numbers, cells)), shape=size)


def _majority(labels: Labels, classes: Labels, count: int) -> Labels:
    """Most frequent class of each segment, the smallest in a tie, -1 without class."""
    valid = (labels > 0) & (classes != VOID)
    highest = int(classes.max(initial=0))
    pairs = labels[valid] * (highest + 1) + classes[valid]
    votes = np.bincount(pairs, minlength=(count + 1) * (highest + 1))
    table = votes.reshape(count + 1, highest + 1)[1:]
    return np.where(table.any(axis=1), table.argmax(axis=1), VOID).astype(np.int64)
