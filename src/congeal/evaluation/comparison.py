"""Ground truth and prediction of one image, in all forms that protocols need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from congeal.data.cityscapes import cityscapes_ids
from congeal.data.sample import Dataset, Sample
from congeal.errors import CongealError
from congeal.evaluation.memory import Memory
from congeal.labels import VOID, check_labels, contingency, relabel
from congeal.metrics.boundary_matching import corner_boundaries
from congeal.metrics.bsds_regions import segments_from_contours
from congeal.metrics.objects import Objects
from congeal.metrics.panoptic import panoptic_segments
from congeal.metrics.run_lengths import as_rle, encode
from congeal.segmentation import Segmentation

__all__ = ["UNNAMED", "Comparison"]

UNNAMED = ("object",)
"""Class names of a result without classes."""

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A sample of a dataset with the prediction of a model.

    Predicted classes are mapped to the class ids of the dataset: by name if the dataset has all
    names that occur, else unchanged. In a dataset without classes, all objects have class 1.

    Attributes:
        sample: image and ground truth.
        result: the prediction.
        dataset: the dataset of the sample.
        memory: memory bank of prototypes, for protocol ``"retrieval"``.

    Example:
        >>> from congeal.data import open_dataset
        >>> discs = open_dataset("discs", "test", count=1)
        >>> truth = Segmentation.from_labels(discs[0].labels)
        >>> one = Comparison(discs[0], truth, discs)
        >>> len(one.true_objects()) == len(one.predicted_objects())
        True
    """

    sample: Sample
    result: Segmentation
    dataset: Dataset
    memory: Memory | None = None

    def __post_init__(self) -> None:
        """Renumber labels with large gaps: lookup tables have the size of the largest label."""
        labels = check_labels(self.sample.labels, f"labels of {self.sample.name}")
        highest, classes = int(labels.max(initial=0)), self.sample.classes
        if classes is not None and highest > len(classes):
            raise CongealError(
                f"expected labels of at most {len(classes)}, which have classes, in "
                f"{self.sample.name}, got {highest}"
            )
        if classes is None and highest > labels.size:
            object.__setattr__(self, "sample", replace(self.sample, labels=relabel(labels)))

    @cached_property
    def labels(self) -> Labels:
        """Label map of the predicted objects, `(H, W)`; the higher score wins a pixel."""
        return self.result.labels

    @cached_property
    def classes(self) -> Labels:
        """Class of each predicted object in the class ids of the dataset, `(N,)`."""
        return self._class_map[self.result.classes]

    @cached_property
    def _class_map(self) -> Labels:
        """Class id of the dataset by class id of the model, up to the largest that occurs."""
        names, own = self.dataset.class_names, self.result.class_names
        used = np.unique(self.result.classes)
        if self.result.semantic is not None:
            used = np.union1d(used, self.result.semantic[self.result.semantic > 0])
        highest = int(used.max(initial=0))
        if not names and self.sample.semantic is None and self.sample.classes is None:
            return np.minimum(np.arange(highest + 1), 1)
        table = np.arange(highest + 1)
        if not names:
            return table
        if all(own[c - 1] in names for c in used.tolist()):
            table[used] = [names.index(own[c - 1]) for c in used.tolist()]
        elif highest >= len(names):
            raise CongealError(
                f"expected classes 1 to {len(names) - 1} as in {self.dataset.name}, got "
                f"{highest} ({own[highest - 1]})"
            )
        return table

    @cached_property
    def true_classes(self) -> Labels:
        """Ground-truth semantic map `(H, W)`, -1 void."""
        if self.sample.semantic is not None:
            return self.sample.semantic
        return _paint(self.sample.labels, self.object_classes())

    @cached_property
    def predicted_classes(self) -> Labels:
        """Predicted semantic map `(H, W)`; class 0 becomes -1 in datasets without background.

        It is the semantic map of the result if present, else the classes of its objects.
        """
        if self.result.semantic is None:
            found = _paint(self.labels, self.classes)
        else:
            found = self._class_map[self.result.semantic]
        return found if self.dataset.has_background else np.where(found == 0, VOID, found)

    @cached_property
    def clusters(self) -> Labels:
        """Predicted semantic map `(H, W)` in the class ids of the model, 0 without class.

        For a result without semantic map, the classes of objects in the class ids of the dataset.
        """
        if self.result.semantic is not None:
            return self.result.semantic
        return _paint(self.labels, self.classes)

    def true_objects(self, *, crowds: bool = True) -> Objects:
        """Ground-truth objects with classes, as complete masks if the dataset has them."""
        sample = self.sample
        if sample.masks:
            masks = [mask for mask in sample.masks if crowds or not mask.crowd]
            return Objects.from_rle(
                [mask.rle for mask in masks],
                _size(sample.labels),
                [1 if mask.class_id is None else mask.class_id for mask in masks],
                areas=[mask.area for mask in masks],
                crowd=[mask.crowd for mask in masks],
            )
        classes = self.object_classes()
        evaluated = np.concatenate([[True], classes >= 0])[np.maximum(sample.labels, 0)]
        return Objects.from_labels(
            np.where(evaluated, sample.labels, VOID), dict(enumerate(classes.tolist(), start=1))
        )

    def predicted_objects(self) -> Objects:
        """Predicted objects, overlaps included, with classes and scores."""
        return self._predicted(self.classes)

    def cityscapes(self) -> tuple[Labels, Objects]:
        """Ground-truth ids and predicted objects in the ids of Cityscapes' files."""
        official = np.array(self.dataset.class_ids, np.int64)
        truth = cityscapes_ids(self.sample.labels, self.true_classes, self.object_classes())
        return truth, self._predicted(official[self.classes])

    def distances(self) -> dict[int, tuple[float, float]]:
        """Distances of the objects, by their ids in Cityscapes' files."""
        return self.dataset.distances(self.sample.name)

    def contours(self) -> NDArray[np.float64]:
        """Predicted boundary strength `(H, W)`, 0 to 1.

        It is the boundary map of the result if present, else the binary boundaries of its labels.
        """
        if self.result.boundary is not None:
            return self.result.boundary.astype(np.float64)
        return corner_boundaries(self.labels).astype(np.float64)

    def regions(self, thresholds: Sequence[float]) -> list[Labels]:
        """Predicted segmentations `(H, W)` with labels from 1, one per threshold.

        Contours are thresholded. A result with objects gives the same segmentation at all
        thresholds, with the background as a region.
        """
        if self.result.has_objects or (contours := self.result.contours) is None:
            return [self.labels + 1] * len(thresholds)
        return list(segments_from_contours(contours, thresholds))

    @property
    def has_classes(self) -> bool:
        """Whether both dataset and model have classes of objects."""
        named = self.result.class_names != UNNAMED and len(self.dataset.class_names) > 2
        return named and self.sample.classes is not None

    def present_classes(self) -> list[int]:
        """Classes of ground-truth and predicted objects, ascending."""
        both = np.union1d(self.object_classes(), self.classes)
        return [label for label in both.tolist() if label > 0]

    def of_class(self, label: int) -> tuple[Labels, Labels]:
        """Label maps `(H, W)` of the ground-truth and the predicted objects of one class.

        Ground-truth objects without evaluated class are void.
        """
        true = self.object_classes()
        kept = np.where(true == label, np.arange(1, len(true) + 1), np.where(true < 0, VOID, 0))
        predicted = np.where(self.classes == label, np.arange(1, len(self.classes) + 1), 0)
        labels = self.sample.labels
        return (
            np.where(labels < 0, labels, np.r_[0, kept][np.maximum(labels, 0)]),
            np.r_[0, predicted][self.labels],
        )

    def annotated_boundaries(self) -> tuple[NDArray[Any], ...]:
        """Boundaries by annotator, or segments if the dataset has no boundaries.

        Without annotators the label map is used as the only annotation.
        """
        sample = self.sample
        return sample.boundaries or sample.annotations or (sample.labels,)

    def annotated_regions(self) -> list[Labels]:
        """Segments by annotator, labels from 1, -1 void."""
        return [np.where(drawn < 0, VOID, drawn + 1) for drawn in self.sample.annotations]

    def panoptic(
        self, things: tuple[int, ...]
    ) -> tuple[Labels, Labels, dict[int, int], dict[int, int]]:
        """Ground-truth and predicted panoptic segments `(H, W)`, and the classes of both."""
        true, true_classes = _segments(
            self.sample.labels, self.object_classes(), self.true_classes, things
        )
        pred, pred_classes = _segments(self.labels, self.classes, self.predicted_classes, things)
        return true, pred, true_classes, pred_classes

    def matched_masks(self) -> Iterator[tuple[Mask, Mask]]:
        """Masks of each ground-truth object and its matched predicted object, without void.

        The one-to-one matching maximises the total IoU. An unmatched ground-truth object is paired
        with an empty mask; unmatched predictions are omitted.
        """
        valid = self.sample.labels != VOID
        table = contingency(self.sample.labels, self.labels).objects()
        iou = np.zeros((len(table.true_ids), len(table.pred_ids)))
        union = table.true_areas[table.rows] + table.pred_areas[table.cols] - table.counts
        iou[table.rows, table.cols] = table.counts / union
        rows, cols = linear_sum_assignment(iou, maximize=True)
        partner = {r: c for r, c in zip(rows.tolist(), cols.tolist(), strict=True) if iou[r, c] > 0}
        for row, number in enumerate(table.true_ids):
            pred = table.pred_ids[partner[row]] if row in partner else VOID
            yield self.sample.labels == number, (self.labels == pred) & valid

    def object_classes(self) -> Labels:
        """Class of each ground-truth label 1..K, `(K,)`; 1 in datasets without classes."""
        count = int(self.sample.labels.max(initial=0))
        if self.sample.classes is None:
            return np.ones(count, np.int64)
        return self.sample.classes

    def _predicted(self, classes: Labels) -> Objects:
        result, scores = self.result, self.result.scores.astype(np.float64)
        if result.disjoint:
            numbers = range(1, len(result) + 1)
            return Objects.from_labels(
                self.labels,
                dict(zip(numbers, classes.tolist(), strict=True)),
                dict(zip(numbers, scores.tolist(), strict=True)),
            )
        codes = [as_rle(result.shape, encode(mask)) for mask in _full_masks(result)]
        return Objects.from_rle(codes, result.shape, classes, scores)


def _full_masks(result: Segmentation) -> Iterator[Mask]:
    """Masks `(H, W)` one by one, since all together may not fit in memory."""
    for crop in result.crops():
        mask = np.zeros(result.shape, np.bool_)
        mask[crop.window] = crop.mask
        yield mask


def _size(labels: Labels) -> tuple[int, int]:
    return labels.shape[0], labels.shape[1]


def _paint(labels: Labels, classes: Labels) -> Labels:
    """Class of the object at each pixel; 0 outside of objects, -1 void."""
    by_number = np.concatenate([[0], classes])
    return np.where(labels < 0, VOID, by_number[np.maximum(labels, 0)])


def _segments(
    labels: Labels, classes: Labels, semantic: Labels, things: tuple[int, ...]
) -> tuple[Labels, dict[int, int]]:
    """Panoptic segments; objects of classes that are not things become stuff."""
    is_thing = np.concatenate([[False], np.isin(classes, things)])[np.maximum(labels, 0)]
    objects = np.where((labels < 0) | is_thing, labels, 0)
    # The class of an object takes precedence over the semantic map.
    return panoptic_segments(objects, np.where(is_thing, _paint(labels, classes), semantic), things)
