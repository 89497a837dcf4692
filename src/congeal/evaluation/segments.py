"""The predicted segments of images with their prototypes, and a memory learnt from them."""

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

__all__ = ["ImageSegments", "KeepsEmbedding", "learn_memory", "segments_of"]

Labels = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageSegments:
    """The segments of images.

    Attributes:
        prototypes: mean direction of the embedding on each, `(N, D)`, of length 1.
        classes: true class of most of its pixels, `(N,)`; -1 where all of them are void.
        areas: pixels of each, `(N,)`.
    """

    prototypes: Values
    classes: Labels
    areas: Labels


class KeepsEmbedding:
    """A segmenter whose results carry the embedding, where it can be asked for.

    Args:
        model: what segments.
    """

    def __init__(self, model: Segmenter) -> None:
        segment: Any = model.segment
        asked = "keep_embedding" in inspect.signature(segment).parameters
        self._segment = partial(segment, keep_embedding=True) if asked else segment

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Find the objects of one image `(H, W, C)`."""
        found: Segmentation = self._segment(image)
        return found


def learn_memory(
    model: Segmenter,
    dataset: Dataset,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> Memory:
    """Segment the images of a dataset and keep the prototypes of segments with a class.

    Args:
        model: what segments.
        dataset: gives images and the classes of their pixels.
        on_image: called after each image with its number from 1 and their count.

    Raises:
        CongealError: no segment has a class, or a result carries no embedding.
    """
    kept = []
    for number, sample in enumerate(dataset, 1):
        one = Comparison(sample, model.segment(sample.image), dataset)
        kept.append(_known(segments_of(one)))
        on_image(number, len(dataset))
    if not any(len(classes) for _, classes in kept):
        raise CongealError(f"expected segments with a class to retrieve, {dataset!r} gave none")
    return Memory(
        np.concatenate([prototypes for prototypes, _ in kept]),
        np.concatenate([classes for _, classes in kept]),
    )


def _known(found: ImageSegments) -> tuple[Values, Labels]:
    return found.prototypes[found.classes >= 0], found.classes[found.classes >= 0]


def segments_of(one: Comparison) -> ImageSegments:
    """Take the predicted objects of an image for segments, with a prototype and a class each.

    Raises:
        CongealError: the result carries no embedding.

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
    embedding = one.result.embedding
    if embedding is None:
        raise CongealError("expected results with an embedding for protocol retrieval, got none")
    count = len(one.result)
    sums = _share_cells(one.labels, count, embedding.shape[1:]) @ (
        embedding.reshape(len(embedding), -1).T.astype(np.float64)
    )  # (N, D)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return ImageSegments(
        np.asarray(sums / np.maximum(lengths, 1e-12)),
        _majority(one.labels, one.true_classes, count),
        np.bincount(one.labels.ravel(), minlength=count + 1)[1:],
    )


def _share_cells(labels: Labels, count: int, shape: tuple[int, ...]) -> Any:
    """Count the pixels of each segment in each cell of the embedding, sparse `(N, h w)`."""
    rows, cols = (
        np.arange(side) * cells // side for side, cells in zip(labels.shape, shape, strict=True)
    )
    cells = (rows[:, None] * shape[1] + cols)[labels > 0]
    numbers = labels[labels > 0] - 1
    size = (count, shape[0] * shape[1])
    return sparse.csr_array((np.ones(len(cells)), (numbers, cells)), shape=size)


def _majority(labels: Labels, classes: Labels, count: int) -> Labels:
    """Give the class that most pixels of each segment have, the smallest in a tie, -1 for none."""
    known = (labels > 0) & (classes != VOID)
    highest = int(classes.max(initial=0))
    pairs = labels[known] * (highest + 1) + classes[known]
    votes = np.bincount(pairs, minlength=(count + 1) * (highest + 1))
    table = votes.reshape(count + 1, highest + 1)[1:]
    return np.where(table.any(axis=1), table.argmax(axis=1), VOID).astype(np.int64)
