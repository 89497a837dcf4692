"""The data of a segmentation result, base class of ``Segmentation``.

It is separate so that the file formats can depend on it and ``Segmentation`` on the formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from congeal.segmentation.maps import Maps
from congeal.segmentation.objects import Crop, ObjectMasks, Pixels

__all__ = ["Contents"]


class Contents:
    """The objects of an image with scores and classes, and its semantic and boundary maps.

    Attributes:
        scores: `(N,)` float32.
        classes: `(N,)` int64 class ids from 1.
        class_names: class names, from class 1.
        embedding: `(D, h, w)` float32, None if it was not requested.
        maps: semantic map, probabilities, boundary map and contours.
        has_objects: whether objects were segmented; False for results of maps only.
    """

    def __init__(
        self,
        objects: ObjectMasks,
        scores: NDArray[np.float32],
        classes: NDArray[np.int64],
        class_names: tuple[str, ...],
        embedding: NDArray[np.float32] | None,
        maps: Maps | None = None,
        has_objects: bool = True,
    ) -> None:
        self._objects = objects
        self.scores = scores
        self.classes = classes
        self.class_names = class_names
        self.embedding = embedding
        self.maps = Maps() if maps is None else maps
        self.has_objects = has_objects

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        height, width = self.shape
        count = f"{len(self)} object" + ("" if len(self) == 1 else "s")
        parts = [count] if self.has_objects else []
        parts += [] if self.disjoint else ["overlapping"]
        return f"Segmentation({height} x {width}, {', '.join([*parts, *self.maps.held])})"

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
        """Label map `(H, W)`, ids 1..N; where objects overlap, the higher score wins."""
        return self._objects.label_map(self.scores)

    def labels_as(self, dtype: DTypeLike) -> NDArray[Any]:
        """Label map `(H, W)` in a given integer type, without an intermediate int64 copy."""
        return self._objects.label_map(self.scores, dtype)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """All masks `(N, H, W)`; for many objects use :meth:`crops`, which needs less memory."""
        masks = np.zeros((len(self), *self.shape), bool)
        for mask, crop in zip(masks, self.crops(), strict=True):
            mask[crop.window] = crop.mask
        return masks

    def crops(self) -> Iterator[Crop]:
        """Iterate over the masks, each cropped to its bounding box."""
        return self._objects.crops()

    @property
    def areas(self) -> NDArray[np.int64]:
        """Area of each object in pixels `(N,)`, overlaps included."""
        index, _, _ = self.pixels()
        return np.bincount(index, minlength=len(self)).astype(np.int64)

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Bounding boxes `(N, 4)` as x0, y0, x1, y1 in pixels, x1 and y1 exclusive."""
        corners = [
            (crop.left, crop.top, crop.left + crop.mask.shape[1], crop.top + crop.mask.shape[0])
            for crop in self.crops()
        ]
        return np.array(corners, np.int64).reshape(-1, 4)

    @property
    def semantic(self) -> NDArray[np.int64] | None:
        """Class of each pixel `(H, W)`: 0 background, class c is ``class_names[c - 1]``."""
        return self.maps.semantic

    @property
    def probabilities(self) -> NDArray[Any] | None:
        """Probability of the background and of each class, `(C + 1, H, W)`, 0 to 1."""
        return self.maps.probabilities

    @property
    def boundary(self) -> NDArray[np.float32] | None:
        """Boundary probability of each pixel, `(H, W)`, 0 to 1."""
        return self.maps.boundary

    @property
    def contours(self) -> NDArray[np.float32] | None:
        """Ultrametric contour map `(2 H + 1, 2 W + 1)`, 0 to 1: strength at which regions merge.

        It is the given map, or else computed from the boundary map, which takes a second for a
        photograph; None without boundary map.
        """
        if self.maps.contours is None and self.boundary is not None:
            from congeal.grouping.contours import region_hierarchy  # imported late: slow

            return region_hierarchy(self.boundary).contours().astype(np.float32)
        return self.maps.contours

    def pixels(self) -> Pixels:
        """Object index, row and column of every pixel of every object, each `(P,)`."""
        return self._objects.pixels()
