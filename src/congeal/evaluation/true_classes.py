"""Evaluation with ground-truth classes, which scores the grouping of a model alone (AP_gt)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.segmentation import Segmentation, Segmenter

__all__ = ["TrueClassSegmenter", "classes_for"]


class TrueClassSegmenter:
    """Segments samples with a model that is given their ground-truth semantic maps.

    Args:
        model: the model; its ``segment`` has to accept ``semantic``.
        dataset: dataset of the samples, with class names.

    Raises:
        CongealError: the model does not accept semantic maps.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> discs = open_dataset("discs", "test", count=1)
        >>> segmenter = TrueClassSegmenter(find_method("discriminative")(), discs)
        >>> found = segmenter.segment(discs[0])
        >>> bool(((found.labels > 0) == (discs[0].labels > 0)).mean() > 0.9)
        True
    """

    def __init__(self, model: Segmenter, dataset: Dataset) -> None:
        self._segment: Any = model.segment
        if "semantic" not in inspect.signature(self._segment).parameters:
            named = getattr(model, "name", type(model).__name__)
            raise CongealError(
                "expected a model that accepts a semantic map, such as one of the discriminative "
                f"loss, got {named}"
            )
        self._names = tuple(getattr(getattr(model, "config", None), "class_names", ("object",)))
        self._dataset = dataset

    def segment(self, sample: Sample) -> Segmentation:
        """Segment a sample, given its ground-truth semantic map."""
        semantic = classes_for(self._names, sample, self._dataset.class_names)
        found: Segmentation = self._segment(sample.image, semantic=semantic)
        return found


def classes_for(names: Sequence[str], sample: Sample, given: Sequence[str]) -> NDArray[np.int64]:
    """Ground-truth semantic map ``(H, W)`` of a sample in the class ids of a model.

    Classes are matched by name; those that the model does not have become background. If none
    matches and the model has a single class, it is assigned to all objects.

    Args:
        names: class names of the model, from class 1.
        sample: the sample.
        given: class names of the dataset, background first; empty without classes.

    Raises:
        CongealError: the model has several classes and none of the dataset.

    Example:
        >>> sample = Sample(
        ...     "a", np.zeros((1, 3, 1)), np.array([[0, 1, 2]]), classes=np.array([2, 1])
        ... )
        >>> classes_for(["man", "car"], sample, ["background", "car", "dog"]).tolist()
        [[0, 0, 2]]
    """
    mapping = [names.index(name) + 1 if name in names else 0 for name in given]
    if not any(mapping):
        if len(names) > 1 and given:
            raise CongealError(
                f"expected data with a class of {', '.join(names)}, got {', '.join(given[1:])}"
            )
        return (sample.labels > 0).astype(np.int64)
    classes = sample.semantic
    if classes is None:
        of_object = np.r_[0, sample.classes if sample.classes is not None else []]
        classes = of_object.astype(np.int64)[np.maximum(sample.labels, 0)]
    table: NDArray[np.int64] = np.array(mapping, np.int64)
    return table[np.maximum(classes, 0)]
