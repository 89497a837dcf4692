"""The one result type: objects that may overlap, each with a mask, a score and a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from congeal.errors import CongealError
from congeal.figures import colour
from congeal.labels import relabel
from congeal.segmentation import drawing, formats, measure
from congeal.segmentation.objects import Crop, LabelObjects, Objects, objects_from_masks
from congeal.segmentation.source import Source, needs_image

__all__ = ["Segmentation"]


class Segmentation:
    """The objects found in an image.

    Made by :meth:`from_labels` or :meth:`from_masks`. Objects are numbered 1..N in the label map
    and 0..N-1 in every array. Classes start at 1, as in a semantic map, where 0 is background.

    Example:
        >>> result = Segmentation.from_labels(np.array([[1, 1, 0], [0, 0, 5]]))
        >>> result
        Segmentation(2 x 3, 2 objects)
        >>> result.labels.tolist(), result.areas.tolist()
        ([[1, 1, 0], [0, 0, 2]], [2, 1])
    """

    def __init__(
        self,
        objects: Objects,
        scores: NDArray[np.float32],
        classes: NDArray[np.int64],
        class_names: tuple[str, ...],
        embedding: NDArray[np.float32] | None,
    ) -> None:
        self._objects = objects
        self.scores = scores
        self.classes = classes
        self.class_names = class_names
        self.embedding = embedding

    @classmethod
    def from_labels(
        cls,
        labels: ArrayLike,
        scores: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        embedding: ArrayLike | None = None,
    ) -> Segmentation:
        """Make a result of disjoint objects from a label map.

        Args:
            labels: `(H, W)` integers; 0 and negative (void) are no object. Ids may have gaps and
                are renumbered 1..N in rising order.
            scores: `(N,)` in that order; one everywhere when left out.
            classes: `(N,)` class ids from 1 up, in that order; one everywhere when left out.
            class_names: name of class 1, of class 2, and so on.
            embedding: `(D, h, w)` to keep with the result.

        Raises:
            CongealError: the map is not two-dimensional integers, or the counts differ.

        Example:
            >>> Segmentation.from_labels(np.eye(3, dtype=int), scores=[0.5]).scores.tolist()
            [0.5]
        """
        dense = np.maximum(relabel(colour.check_map(labels)), 0).astype(np.int32)
        objects = LabelObjects(dense, int(dense.max(initial=0)))
        return cls._build(objects, scores, classes, class_names, embedding)

    @classmethod
    def from_masks(
        cls,
        masks: ArrayLike,
        scores: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        embedding: ArrayLike | None = None,
    ) -> Segmentation:
        """Make a result of objects that may overlap from one mask each.

        Masks without a pixel are left out, together with their scores and classes.

        Args:
            masks: `(N, H, W)`, true or non-zero inside.
            scores: `(N,)`; one everywhere when left out. Where masks overlap, the label map
                shows the higher score, and the earlier of two that are equal.
            classes: `(N,)` class ids from 1 up; one everywhere when left out.
            class_names: name of class 1, of class 2, and so on.
            embedding: `(D, h, w)` to keep with the result.

        Raises:
            CongealError: the masks are not three-dimensional, or the counts differ.

        Example:
            >>> masks = np.array([[[1, 1, 0]], [[0, 1, 1]]], bool)
            >>> Segmentation.from_masks(masks, scores=[0.3, 0.8]).labels.tolist()
            [[1, 2, 2]]
        """
        array = np.asarray(masks)
        if array.ndim != 3:
            raise CongealError(f"expected masks (N, H, W), got {array.shape}")
        array = array.astype(bool, copy=False)
        filled = array.any((1, 2))
        scores = _column(scores, len(array), "scores", np.float32)[filled]
        classes = _column(classes, len(array), "classes", np.int64)[filled]
        objects = objects_from_masks(array[filled])
        return cls._build(objects, scores, classes, class_names, embedding)

    @classmethod
    def _build(
        cls,
        objects: Objects,
        scores: ArrayLike | None,
        classes: ArrayLike | None,
        class_names: Sequence[str] | None,
        embedding: ArrayLike | None,
    ) -> Segmentation:
        kinds = _column(classes, len(objects), "classes", np.int64)
        names = _class_names(kinds, class_names)
        kept = None if embedding is None else np.asarray(embedding, np.float32)
        if kept is not None and kept.ndim != 3:
            raise CongealError(f"expected an embedding (D, h, w), got {kept.shape}")
        return cls(objects, _column(scores, len(objects), "scores", np.float32), kinds, names, kept)

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        height, width = self.shape
        count = f"{len(self)} object" + ("" if len(self) == 1 else "s")
        return (
            f"Segmentation({height} x {width}, {count}{'' if self.disjoint else ', overlapping'})"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image, in pixels."""
        return self._objects.shape

    @property
    def disjoint(self) -> bool:
        """Whether no two objects share a pixel."""
        return self._objects.disjoint

    @property
    def labels(self) -> NDArray[np.int64]:
        """The label map `(H, W)`, ids 1..N; where objects overlap the higher score wins."""
        return self._objects.label_map(self.scores)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """All masks `(N, H, W)`; large for many objects, see :meth:`crops`."""
        masks = np.zeros((len(self), *self.shape), bool)
        for mask, crop in zip(masks, self.crops(), strict=True):
            mask[crop.window] = crop.mask
        return masks

    def crops(self) -> Iterator[Crop]:
        """Give the masks one by one, each cut to its box."""
        return self._objects.crops()

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each object `(N,)`, overlaps included."""
        index, _, _ = self._objects.pixels()
        return np.bincount(index, minlength=len(self)).astype(np.int64)

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Boxes `(N, 4)` as x0, y0, x1, y1 in pixels, the far edges one past the last pixel."""
        corners = [
            (crop.left, crop.top, crop.left + crop.mask.shape[1], crop.top + crop.mask.shape[0])
            for crop in self.crops()
        ]
        return np.array(corners, np.int64).reshape(-1, 4)

    def select(self, keep: ArrayLike) -> Segmentation:
        """Take some of the objects: a truth value for each, or indices in the order wanted.

        Raises:
            CongealError: an object is named twice.

        Example:
            >>> result = Segmentation.from_labels(np.array([[1, 2, 3]]), scores=[0.9, 0.2, 0.7])
            >>> result.select(result.scores > 0.5).labels.tolist()
            [[1, 0, 2]]
        """
        wanted = np.asarray(keep)
        wanted = wanted if wanted.size else wanted.astype(np.int64)
        index = np.arange(len(self))[wanted].reshape(-1)
        if len(np.unique(index)) < len(index):
            raise CongealError("expected each object at most once in a selection")
        scores, classes = self.scores[index], self.classes[index]
        objects = self._objects.select(index)
        chosen = Segmentation(objects, scores, classes, self.class_names, self.embedding)
        chosen.source = self.source
        return chosen

    def draw(self, image: ArrayLike, alpha: float = 0.3, outlines: bool = True) -> colour.RGB:
        """Draw the objects over their image `(H, W)` or `(H, W, C)`.

        Returns:
            The picture `(H, W, 3)`, uint8.

        Raises:
            CongealError: the image has another size.

        Example:
            >>> result = Segmentation.from_labels(np.eye(4, dtype=int))
            >>> result.draw(np.zeros((4, 4), np.uint8)).shape
            (4, 4, 3)
        """
        return drawing.draw(self, image, alpha, outlines)

    def measurements(self, image: ArrayLike | None = None) -> list[dict[str, Any]]:
        """Measure every object; one dictionary each, see :data:`congeal.segmentation.COLUMNS`.

        Args:
            image: `(H, W)` or `(H, W, C)`; with it the mean intensity is measured.

        Raises:
            CongealError: the image has another size.

        Example:
            >>> Segmentation.from_labels(np.ones((2, 6), int)).measurements()[0]["area"]
            12
        """
        return measure.measure(self, self._objects.pixels(), image)

    source: Source | None = None
    """The image the result was made of, where that is known."""

    def save(self, path: str | Path, image: ArrayLike | None = None) -> Path:
        """Write the result in the format that the file name tells, and give the path back.

        The image, when left out, is the one of :attr:`source`.

        ``.png``, ``.tif``: the label map; ``_overlay.png``: the drawing, which needs the image;
        ``.json``: COCO; ``.csv``: the measurements.

        Raises:
            CongealError: the ending is unknown, an image is needed, or writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.csv"
            >>> Segmentation.from_labels(np.eye(4, dtype=int)).save(target).name
            'cell.csv'
        """
        if image is None and self.source is not None and needs_image(path):
            image = self.source.pixels()
        if Path(path).suffix.lower() == ".json" and self.source is not None:
            return formats.save_coco(self, Path(path), self.source.name)
        return formats.save(self, Path(path), image)

    def save_as(
        self, name: str, folder: str | Path, source: str, image: ArrayLike | None = None
    ) -> Path:
        """Write one of the :data:`FORMATS` for an image and give the path back.

        Args:
            name: ``labels``, ``tiff``, ``overlay``, ``coco`` or ``csv``.
            folder: where to; made when missing.
            source: file name of the image; its stem begins the name of the file.
            image: `(H, W)` or `(H, W, C)`, needed for ``overlay``.

        Raises:
            CongealError: there is no such format, an image is needed, or writing fails.

        Example:
            >>> import tempfile
            >>> result = Segmentation.from_labels(np.eye(4, dtype=int))
            >>> result.save_as("coco", tempfile.mkdtemp(), "cell.tif").name
            'cell_coco.json'
        """
        return formats.save_as(self, name, Path(folder), source, image)

    def save_labels(self, path: str | Path) -> Path:
        """Write the label map: PNG of 16 bit, or TIFF of 16 bit, 32 beyond 65,535 objects.

        Raises:
            CongealError: another ending, too many objects for PNG, or writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.tif"
            >>> Segmentation.from_labels(np.eye(4, dtype=int)).save_labels(target).name
            'cell.tif'
        """
        return formats.save_labels(self, Path(path))

    def save_overlay(self, path: str | Path, image: ArrayLike) -> Path:
        """Write the drawing over the image `(H, W)` or `(H, W, C)` as PNG or JPEG.

        Raises:
            CongealError: the image has another size, another ending, or writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.png"
            >>> result = Segmentation.from_labels(np.eye(4, dtype=int))
            >>> result.save_overlay(target, np.zeros((4, 4), np.uint8)).name
            'cell.png'
        """
        return formats.save_overlay(self, Path(path), image)

    def save_coco(self, path: str | Path, file_name: str = "image.png") -> Path:
        """Write COCO JSON with run-length masks; ``file_name`` is the image it tells of.

        Raises:
            CongealError: writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.json"
            >>> Segmentation.from_labels(np.eye(4, dtype=int)).save_coco(target).name
            'cell.json'
        """
        return formats.save_coco(self, Path(path), file_name)

    def save_csv(self, path: str | Path, image: ArrayLike | None = None) -> Path:
        """Write the measurements, one line an object; with the image also mean intensity.

        Raises:
            CongealError: the image has another size, or writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.csv"
            >>> Segmentation.from_labels(np.eye(4, dtype=int)).save_csv(target).name
            'cell.csv'
        """
        return formats.save_csv(self, Path(path), image)


def _column(given: ArrayLike | None, count: int, what: str, dtype: Any) -> NDArray[Any]:
    """Check the values that belong to the objects, or make them all one."""
    if given is None:
        return np.ones(count, dtype)
    values = np.array(given, dtype)
    if values.shape != (count,):
        raise CongealError(f"expected {what} for {count} objects, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise CongealError(f"expected finite {what}, got NaN or infinity")
    return values


def _class_names(classes: NDArray[np.int64], given: Sequence[str] | None) -> tuple[str, ...]:
    highest = int(classes.max(initial=1))
    if classes.min(initial=1) < 1:
        raise CongealError(f"expected classes from 1 up, got {int(classes.min())}")
    if given is None:
        return ("object",) if highest == 1 else tuple(f"class {i + 1}" for i in range(highest))
    if len(given) < highest:
        raise CongealError(f"expected {highest} class names, got {len(given)}")
    return tuple(given)
