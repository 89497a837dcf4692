"""Objects of one image as run-length codes, for protocols that compare masks.

Masks may overlap. They are stored as compressed COCO run-length codes (a few hundred bytes per
object) and compared by pycocotools, so that a whole dataset fits in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pycocotools import mask as coco_mask

from congeal.errors import CongealError, unknown
from congeal.labels import VOID, check_labels
from congeal.metrics.run_lengths import (
    Rle,
    Size,
    as_rle,
    complement,
    compress,
    count_pixels,
    encode,
    encode_labels,
)

__all__ = ["Objects", "check_classes", "check_pair", "intersections", "mask_iou", "void_pixels"]

Integers = NDArray[np.int64]
Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image, ground truth or prediction, with classes and scores.

    Create it with :meth:`from_labels`, :meth:`from_masks`, :meth:`from_rle` or :meth:`from_coco`,
    which check their arguments.

    Attributes:
        size: height and width of the image.
        masks: K compressed run-length codes.
        classes: class of each object, at least 0, ``(K,)``; default 1.
        scores: confidence of each object, ``(K,)``, finite; default 1.
        areas: area for size ranges, ``(K,)``; default: the pixels of the mask.
        crowd: whether the mask is a crowd of unseparated objects, ``(K,)``; default False.
        void: run-length code of void pixels, None without any.

    Example:
        >>> found = Objects.from_labels([[0, 1, 1], [2, 2, -1]], classes={1: 7, 2: 4})
        >>> len(found), found.classes, found.areas
        (2, array([7, 4]), array([2., 2.]))
    """

    size: Size
    masks: tuple[bytes, ...]
    classes: Integers
    scores: Scores
    areas: Scores
    crowd: Mask
    void: bytes | None = None

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.masks)

    @classmethod
    def from_labels(
        cls,
        labels: ArrayLike,
        classes: Mapping[int, int] | ArrayLike | None = None,
        scores: Mapping[int, float] | ArrayLike | None = None,
    ) -> Objects:
        """Create from a label map, in the order of its labels.

        Args:
            labels: ``(H, W)``, 0 background, 1..K objects, -1 void; gaps are allowed.
            classes: class by label, or one per label that occurs, in ascending order.
            scores: confidence, in the same form.

        Raises:
            CongealError: it is not a label map of an image, a class or a score is missing, or
                as in :meth:`from_rle`.

        Example:
            >>> Objects.from_labels([[0, 5, 5]], scores=[0.5]).scores
            array([0.5])
        """
        array = check_labels(labels)
        if array.ndim != 2:
            raise CongealError(f"expected a label map (H, W), got shape {array.shape}")
        ids, masks = encode_labels(array)
        void = encode(array == VOID) if (array == VOID).any() else None
        return _objects(
            (array.shape[0], array.shape[1]),
            masks,
            classes=_by_label(classes, ids, "class"),
            scores=_by_label(scores, ids, "score"),
            void=void,
        )

    @classmethod
    def from_masks(
        cls,
        masks: ArrayLike,
        classes: ArrayLike | None = None,
        scores: ArrayLike | None = None,
        *,
        crowd: ArrayLike | None = None,
        void: ArrayLike | None = None,
    ) -> Objects:
        """Create from masks, which may overlap.

        Args:
            masks: booleans ``(K, H, W)``; ``(0, H, W)`` for an image without objects.
            classes: class of each, ``(K,)``.
            scores: confidence of each, ``(K,)``.
            crowd: whether each is a crowd, ``(K,)``.
            void: booleans ``(H, W)``, void pixels.

        Raises:
            CongealError: the masks are not ``(K, H, W)``, the void is of another size, or as in
                :meth:`from_rle`.

        Example:
            >>> Objects.from_masks([[[True, True]], [[False, True]]], scores=[0.5, 0.9]).areas
            array([2., 1.])
        """
        stack = np.asarray(masks)
        if stack.ndim != 3:
            raise CongealError(f"expected masks (K, H, W), got shape {stack.shape}")
        size = stack.shape[1], stack.shape[2]
        void_map = None if void is None else np.asarray(void, np.bool_)
        if void_map is not None and void_map.shape != size:
            raise CongealError(f"expected void of the size {size} of masks, got {void_map.shape}")
        return _objects(
            size,
            [encode(mask) for mask in stack],
            classes=classes,
            scores=scores,
            crowd=crowd,
            void=encode(void_map) if void_map is not None and void_map.any() else None,
        )

    @classmethod
    def from_rle(
        cls,
        masks: Iterable[Rle],
        size: Size,
        classes: ArrayLike | None = None,
        scores: ArrayLike | None = None,
        *,
        areas: ArrayLike | None = None,
        crowd: ArrayLike | None = None,
    ) -> Objects:
        """Create from COCO masks: run-length codes, compressed or not, or polygons.

        Args:
            masks: per object ``{"size": [H, W], "counts": ...}`` or a list of polygons.
            size: height and width of the image.
            classes: class of each, ``(K,)``.
            scores: confidence of each, ``(K,)``.
            areas: area of each if not that of its mask, ``(K,)``.
            crowd: whether each is a crowd, ``(K,)``.

        Raises:
            CongealError: a mask is of another size, there is not one class, score, area or
                crowd flag for each mask, a class is no integer from 0, or a score is not finite.

        Example:
            >>> Objects.from_rle([{"size": [2, 2], "counts": [1, 2, 1]}], (2, 2)).areas
            array([2.])
        """
        codes = [compress(mask, size) for mask in masks]
        return _objects(size, codes, classes=classes, scores=scores, areas=areas, crowd=crowd)

    @classmethod
    def from_coco(cls, annotations: Sequence[Mapping[str, Any]], size: Size) -> Objects:
        """Take the annotations, or results, of one image in COCO's JSON format.

        The area that an annotation states is kept; of results (with a score) that of the mask
        counts, as in the official tool.

        Raises:
            CongealError: as in :meth:`from_rle`.

        Example:
            >>> square = {"category_id": 3, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}
            >>> Objects.from_coco([square], (4, 4)).areas
            array([4.])
        """
        found = cls.from_rle(
            [one["segmentation"] for one in annotations],
            size,
            [one["category_id"] for one in annotations],
            [one.get("score", 1.0) for one in annotations],
            crowd=[bool(one.get("iscrowd", 0)) for one in annotations],
        )
        stated = [
            pixels if "score" in one else one.get("area", pixels)
            for one, pixels in zip(annotations, found.areas, strict=True)
        ]
        return replace(found, areas=np.array(stated, np.float64))

    def rle(self) -> list[Rle]:
        """Return the masks as pycocotools takes them.

        Example:
            >>> Objects.from_labels([[1]]).rle()
            [{'size': [1, 1], 'counts': b'01'}]
        """
        return [{"size": list(self.size), "counts": counts} for counts in self.masks]

    def pixels(self) -> Integers:
        """Count the pixels of each mask, ``(K,)``.

        Example:
            >>> Objects.from_labels([[1, 1, 2]]).pixels()
            array([2, 1])
        """
        return count_pixels(self.rle())

    def take(self, index: ArrayLike) -> Objects:
        """Select objects by indices or a boolean mask, in the given order.

        Example:
            >>> Objects.from_labels([[1, 2, 3]], classes=[4, 5, 6]).take([2, 0]).classes
            array([6, 4])
        """
        chosen = np.arange(len(self))[np.asarray(index)] if np.size(index) else np.arange(0)
        return replace(
            self,
            masks=tuple(self.masks[k] for k in chosen),
            classes=self.classes[chosen],
            scores=self.scores[chosen],
            areas=self.areas[chosen],
            crowd=self.crowd[chosen],
        )

    def without(self, void: bytes | None) -> Objects:
        """Remove the pixels of a run-length code from all masks; ``areas`` is not changed.

        Example:
            >>> true = Objects.from_labels([[-1, 1, 1]])
            >>> Objects.from_labels([[3, 3, 3]]).without(true.void).pixels()
            array([2])
        """
        if void is None or not self.masks:
            return self
        valid = complement(self.size, void)
        cut = tuple(coco_mask.merge([m, valid], intersect=True)["counts"] for m in self.rle())
        return replace(self, masks=cut)


def mask_iou(true: Objects, pred: Objects) -> Scores:
    """IoU of every ground-truth and every predicted mask, ``(R, C)``.

    Two empty masks have an IoU of 0.

    Raises:
        CongealError: the images are of different size.

    Example:
        >>> mask_iou(Objects.from_labels([[1, 1, 0, 0]]), Objects.from_labels([[0, 1, 1, 2]]))
        array([[0.33333333, 0.        ]])
    """
    return _overlaps(true, pred, crowd=False)


def intersections(true: Objects, pred: Objects) -> Integers:
    """Intersection of every ground-truth and every predicted mask in pixels, ``(R, C)``.

    Raises:
        CongealError: the images are of different size.

    Example:
        >>> intersections(Objects.from_labels([[1, 1, 2]]), Objects.from_labels([[0, 4, 4]]))
        array([[1],
               [1]])
    """
    fractions = _overlaps(true, pred, crowd=True)  # of the predicted mask
    return np.rint(fractions * pred.pixels()).astype(np.int64)


def void_pixels(true: Objects, pred: Objects) -> Integers:
    """Count the pixels of each predicted mask that are void in the ground truth, ``(C,)``.

    Raises:
        CongealError: the images are of different size.

    Example:
        >>> void_pixels(Objects.from_labels([[-1, -1, 1]]), Objects.from_labels([[0, 4, 4]]))
        array([1])
    """
    check_pair(true, pred)
    if true.void is None:
        return np.zeros(len(pred), np.int64)
    pixels: Integers = intersections(_objects(true.size, [true.void]), pred)[0]
    return pixels


def check_pair(true: Objects, pred: Objects) -> None:
    """Check that ground truth and prediction have the same image size.

    Raises:
        CongealError: the sizes differ.

    Example:
        >>> check_pair(Objects.from_labels([[1]]), Objects.from_labels([[0]]))
    """
    if true.size != pred.size:
        raise CongealError(
            f"expected ground truth and prediction of the same size, got {true.size} "
            f"and {pred.size}"
        )


def check_classes(objects: Objects, classes: Sequence[int] | None) -> None:
    """Check that all objects have known classes; None accepts all.

    Raises:
        CongealError: a class is unknown.

    Example:
        >>> check_classes(Objects.from_labels([[1]], classes=[3]), (2, 3))
    """
    unlisted = [] if classes is None else np.setdiff1d(objects.classes, classes).tolist()
    if unlisted:
        raise unknown("class", str(unlisted[0]), map(str, classes or ()))


def _objects(
    size: Size,
    masks: Sequence[bytes],
    *,
    classes: ArrayLike | None = None,
    scores: ArrayLike | None = None,
    areas: ArrayLike | None = None,
    crowd: ArrayLike | None = None,
    void: bytes | None = None,
) -> Objects:
    height, width = size
    codes = tuple(masks)
    pixels = count_pixels([as_rle(size, counts) for counts in codes]) if areas is None else areas
    return Objects(
        (int(height), int(width)),
        codes,
        _check_integers(_one_each(classes, codes, 1, "class")),
        _check_finite(_one_each(scores, codes, 1.0, "score"), "scores"),
        _check_finite(_one_each(pixels, codes, 0.0, "area"), "areas"),
        _one_each(crowd, codes, False, "crowd flag").astype(np.bool_),
        void,
    )


def _one_each(given: ArrayLike | None, masks: Sequence[bytes], default: Any, what: str) -> Any:
    values = np.full(len(masks), default) if given is None else np.asarray(given)
    if not values.size and not masks:
        return np.full(0, default)
    if values.shape != (len(masks),):
        raise CongealError(
            f"expected one {what} for each of {len(masks)} objects, got shape {values.shape}"
        )
    return values


def _check_integers(classes: NDArray[Any]) -> Integers:
    if classes.dtype.kind not in "iu" or (classes.size and classes.min() < 0):
        shown = classes[classes < 0][:1] if classes.dtype.kind == "i" else classes.dtype
        raise CongealError(f"expected classes to be integers from 0, got {shown}")
    return classes.astype(np.int64)


def _check_finite(values: NDArray[Any], what: str) -> Scores:
    numbers: Scores = values.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise CongealError(f"expected finite {what}, got {numbers[bad[0]]} for object {bad[0]}")
    return numbers


def _by_label(given: Any, labels: Integers, what: str) -> Any:
    if not isinstance(given, Mapping):
        return given
    missing = [label for label in labels.tolist() if label not in given]
    if missing:
        raise CongealError(f"expected a {what} for every label, got none for {missing[0]}")
    return [given[label] for label in labels.tolist()]


def _overlaps(true: Objects, pred: Objects, crowd: bool) -> Scores:
    check_pair(true, pred)
    if not len(true) or not len(pred):
        return np.zeros((len(true), len(pred)))
    return np.asarray(coco_mask.iou(pred.rle(), true.rle(), [int(crowd)] * len(true)), np.float64).T
