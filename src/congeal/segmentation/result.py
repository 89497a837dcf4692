"""``Segmentation``, the result type: objects with masks, scores and classes, and maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from congeal.errors import CongealError
from congeal.figures import colour
from congeal.labels import relabel
from congeal.segmentation import drawing, formats, measure
from congeal.segmentation.columns import check_class_names, check_column
from congeal.segmentation.contents import Contents
from congeal.segmentation.maps import Maps, check_maps
from congeal.segmentation.objects import LabelObjects, ObjectMasks, objects_from_masks
from congeal.segmentation.scale import Scale
from congeal.segmentation.source import Source, needs_image

__all__ = ["Segmentation"]


class Segmentation(Contents):
    """The segmentation of an image: objects, and semantic and boundary maps.

    Created by :meth:`from_labels`, :meth:`from_masks` or :meth:`from_maps`. Objects have labels
    1..N in the label map and indices 0..N-1 in arrays. Class ids start at 1 (0 is background in a
    semantic map); the name of class c is ``class_names[c - 1]``.

    Optional maps, None if not given: ``semantic (H, W)`` int64 with ``probabilities
    (C + 1, H, W)``, and ``boundary (H, W)`` float32 in [0, 1].

    Example:
        >>> result = Segmentation.from_labels(np.array([[1, 1, 0], [0, 0, 5]]))
        >>> result
        Segmentation(2 x 3, 2 objects)
        >>> result.labels.tolist(), result.areas.tolist()
        ([[1, 1, 0], [0, 0, 2]], [2, 1])
    """

    @classmethod
    def from_labels(
        cls,
        labels: ArrayLike,
        scores: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        embedding: ArrayLike | None = None,
        *,
        semantic: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        boundary: ArrayLike | None = None,
    ) -> Segmentation:
        """Create a result of disjoint objects from a label map.

        Args:
            labels: `(H, W)` integers; 0 and negative values are not objects. Labels may have gaps
                and are renumbered 1..N in ascending order.
            scores: `(N,)` in that order; None: all 1.
            classes: `(N,)` class ids from 1, in that order; None: all 1.
            class_names: class names, from class 1.
            embedding: `(D, h, w)` to store with the result.
            semantic: class ids `(H, W)`, 0 background; None: the most probable class, if there are
                probabilities.
            probabilities: of background and classes, `(C + 1, H, W)` in [0, 1].
            boundary: boundary probabilities `(H, W)` in [0, 1].

        Raises:
            CongealError: the label map is not 2-D integers, counts differ, or a map has the wrong
                size or range.

        Example:
            >>> Segmentation.from_labels(np.eye(3, dtype=int), scores=[0.5]).scores.tolist()
            [0.5]
        """
        dense = np.maximum(relabel(colour.check_map(labels)), 0).astype(np.int32)
        objects = LabelObjects(dense, int(dense.max(initial=0)))
        maps = check_maps(semantic, probabilities, boundary, objects.shape)
        return cls._build(objects, scores, classes, class_names, embedding, maps)

    @classmethod
    def from_masks(
        cls,
        masks: ArrayLike,
        scores: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        embedding: ArrayLike | None = None,
        *,
        semantic: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        boundary: ArrayLike | None = None,
    ) -> Segmentation:
        """Create a result of objects that may overlap from masks.

        Empty masks are removed, with their scores and classes.

        Args:
            masks: `(N, H, W)`, true or non-zero inside.
            scores: `(N,)`; None: all 1. Where masks overlap, the label map shows the object of
                higher score, in a tie the first.
            classes: `(N,)` class ids from 1; None: all 1.
            class_names: class names, from class 1.
            embedding: `(D, h, w)` to store with the result.
            semantic: class ids `(H, W)`, 0 background; None: the most probable class, if there are
                probabilities.
            probabilities: of background and classes, `(C + 1, H, W)` in [0, 1].
            boundary: boundary probabilities `(H, W)` in [0, 1].

        Raises:
            CongealError: the masks are not 3-D, counts differ, or a map has the wrong size or
                range.

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
        scores = check_column(scores, len(array), "scores", np.float32)[filled]
        classes = check_column(classes, len(array), "classes", np.int64)[filled]
        objects = objects_from_masks(array[filled])
        maps = check_maps(semantic, probabilities, boundary, objects.shape)
        return cls._build(objects, scores, classes, class_names, embedding, maps)

    @classmethod
    def from_maps(
        cls,
        semantic: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        boundary: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        embedding: ArrayLike | None = None,
        contours: ArrayLike | None = None,
    ) -> Segmentation:
        """Create a result without objects from maps.

        Args:
            semantic: class ids `(H, W)`, 0 background; None: the most probable class, if there are
                probabilities.
            probabilities: of background and classes, `(C + 1, H, W)` in [0, 1].
            boundary: boundary probabilities `(H, W)` in [0, 1]; None: taken from the contours, if
                there are any.
            class_names: class names, from class 1.
            embedding: `(D, h, w)` to store with the result.
            contours: an ultrametric contour map `(2 H + 1, 2 W + 1)` in [0, 1].

        Raises:
            CongealError: there is no map, or a map has the wrong size, type or range.

        Example:
            >>> Segmentation.from_maps(semantic=[[0, 2]], class_names=["road", "sky"])
            Segmentation(1 x 2, semantic)
        """
        maps = check_maps(semantic, probabilities, boundary, contours=contours)
        if maps.shape is None:
            raise CongealError("expected a semantic map, probabilities or a boundary map, got none")
        none = LabelObjects(np.zeros(maps.shape, np.int32), 0)
        return cls._build(none, None, None, class_names, embedding, maps, has_objects=False)

    @classmethod
    def _build(
        cls,
        objects: ObjectMasks,
        scores: ArrayLike | None,
        classes: ArrayLike | None,
        class_names: Sequence[str] | None,
        embedding: ArrayLike | None,
        maps: Maps,
        has_objects: bool = True,
    ) -> Segmentation:
        kinds = check_column(classes, len(objects), "classes", np.int64)
        names = check_class_names(kinds, class_names, maps.highest)
        kept = None if embedding is None else np.asarray(embedding, np.float32)
        if kept is not None and kept.ndim != 3:
            raise CongealError(f"expected an embedding (D, h, w), got {kept.shape}")
        trust = check_column(scores, len(objects), "scores", np.float32)
        return cls(objects, trust, kinds, names, kept, maps, has_objects)

    def select(self, keep: ArrayLike) -> Segmentation:
        """Select objects by a boolean mask, or by indices in the desired order.

        The maps are not changed.

        Raises:
            CongealError: an object is selected twice.

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
        kept = (self.class_names, self.embedding, self.maps, self.has_objects)
        chosen = Segmentation(objects, scores, classes, *kept)
        chosen.source = self.source
        return chosen

    def draw(self, image: ArrayLike, alpha: float = 0.3, outlines: bool = True) -> colour.RGB:
        """Draw the objects over their image `(H, W)` or `(H, W, C)`.

        A result without objects is drawn as classes, or else as boundaries.

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

    def measurements(
        self,
        image: ArrayLike | None = None,
        *,
        pixel_size: float | None = None,
        units: str = "px",
    ) -> list[dict[str, Any]]:
        """Measure every object; see :data:`congeal.segmentation.COLUMNS`.

        Args:
            image: `(H, W)` or `(H, W, C)`, to measure the intensities of each channel.
            pixel_size: micrometres per pixel; None: that of :attr:`source`.
            units: of lengths and areas: ``"px"``, or ``"um"``, which needs the pixel size.

        Raises:
            CongealError: the image has another size, or the units need a pixel size.

        Example:
            >>> Segmentation.from_labels(np.ones((2, 6), int)).measurements()[0]["area"]
            12
        """
        return measure.measure(self, image, self._scale(pixel_size, units))

    source: Source | None = None
    """The segmented image, if known."""

    def save(
        self,
        path: str | Path,
        image: ArrayLike | None = None,
        *,
        pixel_size: float | None = None,
        units: str = "px",
    ) -> Path:
        """Write the result in the format of the file name, and return the path.

        Image and pixel size default to those of :attr:`source`.

        ``.png``, ``.tif``: label map; ``_overlay.png``: overlay, which needs the image; ``.json``:
        COCO; ``.csv``: measurements; ``.zip``: regions of interest for ImageJ and Fiji;
        ``.geojson``: outlines for QuPath; ``_pred.txt``: objects for the Cityscapes benchmark, with
        a folder of masks; ``_semantic.png``: semantic map with colour palette; ``_boundary.png``:
        boundary map, 16 bit, scaled by 65,535; ``_ucm.mat``: ultrametric contour map, in the format
        of the Berkeley benchmark; ``_probabilities.npz``: half precision, with class names.

        Args:
            path: the file, whose suffix selects the format.
            image: `(H, W)` or `(H, W, C)`, for overlays and tables.
            pixel_size: micrometres per pixel, for label TIFF and table.
            units: of the table: ``"px"``, or ``"um"``, which needs the pixel size.

        Raises:
            CongealError: the suffix is unknown, the image is missing, the result lacks the
                requested data, or writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.csv"
            >>> Segmentation.from_labels(np.eye(4, dtype=int)).save(target).name
            'cell.csv'
        """
        if image is None and self.source is not None and needs_image(path):
            image = self.source.pixels()
        scale = self._scale(pixel_size, units)
        name = Path(path).name if self.source is None else self.source.name
        return formats.save(self, Path(path), image, scale, name)

    def _scale(self, pixel_size: float | None, units: str) -> Scale:
        if pixel_size is None and self.source is not None:
            pixel_size = self.source.pixel_size
        return Scale(pixel_size, units)

    def save_as(
        self,
        name: str,
        folder: str | Path,
        source: str,
        image: ArrayLike | None = None,
        *,
        pixel_size: float | None = None,
        units: str = "px",
    ) -> Path:
        """Write the result in one of the :data:`FORMATS`, and return the path.

        Args:
            name: ``labels``, ``tiff``, ``overlay``, ``coco``, ``csv``, ``rois``, ``geojson``,
                ``semantic``, ``boundary``, ``probabilities`` or ``cityscapes``.
            folder: the target folder, created when missing.
            source: file name of the image; its stem is the prefix of the new file name.
            image: `(H, W)` or `(H, W, C)`, needed for ``overlay``.
            pixel_size: micrometres per pixel, for label TIFF and table.
            units: of the table: ``"px"``, or ``"um"``, which needs the pixel size.

        Raises:
            CongealError: the format is unknown, the image is missing, the result lacks the
                requested data, or writing fails.

        Example:
            >>> import tempfile
            >>> result = Segmentation.from_labels(np.eye(4, dtype=int))
            >>> result.save_as("coco", tempfile.mkdtemp(), "cell.tif").name
            'cell_coco.json'
        """
        scale = self._scale(pixel_size, units)
        return formats.save_as(self, name, Path(folder), source, image, scale)

    def save_labels(self, path: str | Path) -> Path:
        """Write the label map: 16-bit PNG, or TIFF with 16 bits (32 bits above 65,535 objects).

        A TIFF contains the pixel size of :attr:`source`.

        Raises:
            CongealError: the suffix is unknown, PNG cannot number the objects, or writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.tif"
            >>> Segmentation.from_labels(np.eye(4, dtype=int)).save_labels(target).name
            'cell.tif'
        """
        return formats.save_labels(self, Path(path), self._scale(None, "px"))

    def save_overlay(self, path: str | Path, image: ArrayLike) -> Path:
        """Write the overlay on an image `(H, W)` or `(H, W, C)` as PNG or JPEG.

        Raises:
            CongealError: the image has another size, the suffix is unknown, or writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.png"
            >>> result = Segmentation.from_labels(np.eye(4, dtype=int))
            >>> result.save_overlay(target, np.zeros((4, 4), np.uint8)).name
            'cell.png'
        """
        return formats.save_overlay(self, Path(path), image)

    def save_coco(self, path: str | Path, file_name: str = "image.png") -> Path:
        """Write COCO JSON with run-length masks; ``file_name`` is the name of the image.

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
        """Write the measurements, one row per object; with an image also intensities.

        Raises:
            CongealError: the image has another size, or writing fails.

        Example:
            >>> import tempfile
            >>> target = Path(tempfile.mkdtemp()) / "cell.csv"
            >>> Segmentation.from_labels(np.eye(4, dtype=int)).save_csv(target).name
            'cell.csv'
        """
        name = Path(path).name if self.source is None else self.source.name
        return formats.save_csv(self, Path(path), image, self._scale(None, "px"), name)
