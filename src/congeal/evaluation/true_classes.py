"""A model that is told the true classes of pixels: what is then wrong is its grouping (AP_gt)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.segmentation import Segmentation, Segmenter

__all__ = ["GivenTrueClasses", "classes_for"]


class GivenTrueClasses:
    """Segments samples of a dataset by a model that takes the classes of pixels as given.

    Args:
        model: what segments; its ``segment`` has to take ``semantic``.
        dataset: of the samples, tells the names of their classes.

    Raises:
        CongealError: the model finds the classes of pixels by itself only.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.methods import find_method
        >>> discs = open_dataset("discs", "test", count=1)
        >>> told = GivenTrueClasses(find_method("discriminative")(), discs)
        >>> found = told.segment(discs[0])
        >>> bool(((found.labels > 0) == (discs[0].labels > 0)).mean() > 0.9)
        True
    """

    def __init__(self, model: Segmenter, dataset: Dataset) -> None:
        self._segment: Any = model.segment
        if "semantic" not in inspect.signature(self._segment).parameters:
            named = getattr(model, "name", type(model).__name__)
            raise CongealError(
                f"expected a model that can be told the classes of pixels, such as one of the "
                f"discriminative loss, got {named}"
            )
        self._names = tuple(getattr(getattr(model, "config", None), "class_names", ("object",)))
        self._dataset = dataset

    def segment(self, sample: Sample) -> Segmentation:
        """Find the objects of a sample, inside of its true classes."""
        semantic = classes_for(self._names, sample, self._dataset.class_names)
        found: Segmentation = self._segment(sample.image, semantic=semantic)
        return found


def classes_for(names: Sequence[str], sample: Sample, given: Sequence[str]) -> NDArray[np.int64]:
    """The true classes ``(H, W)`` of a sample in the numbers of a model.

    Classes are matched by name, and those that the model does not know are background; where it
    knows none of them and has one class, that is all objects.

    Args:
        names: of the model's classes 1, 2 and so on.
        sample: with the truth.
        given: names of the classes of the data, background first; empty without classes.

    Raises:
        CongealError: the model knows several classes and none of the data's.

    Example:
        >>> sample = Sample(
        ...     "a", np.zeros((1, 3, 1)), np.array([[0, 1, 2]]), classes=np.array([2, 1])
        ... )
        >>> classes_for(["man", "car"], sample, ["background", "car", "dog"]).tolist()
        [[0, 0, 2]]
    """
    known = [names.index(one) + 1 if one in names else 0 for one in given]
    if not any(known):
        if len(names) > 1 and given:
            raise CongealError(
                f"expected data with a class of {', '.join(names)}, got {', '.join(given[1:])}"
            )
        return (sample.labels > 0).astype(np.int64)
    classes = sample.semantic
    if classes is None:
        of_object = np.r_[0, sample.classes if sample.classes is not None else []]
        classes = of_object.astype(np.int64)[np.maximum(sample.labels, 0)]
    table: NDArray[np.int64] = np.array(known, np.int64)
    return table[np.maximum(classes, 0)]
