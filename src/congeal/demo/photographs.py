"""Photographs from scikit-image, and ground truth for the coins in one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from congeal.metrics.matching import matching
from congeal.segmentation.result import Segmentation

__all__ = [
    "COINS",
    "PHOTOGRAPHS",
    "Photograph",
    "SegmentedPhotograph",
    "segment_photograph",
    "true_coins",
]

COINS = 24
"""Number of coins in the photograph of coins."""

_MIN_COIN_AREA = 200  # px; smaller regions are dirt, the smallest coin has over 1,000


@dataclass(frozen=True)
class Photograph:
    """A photograph to segment.

    Args:
        name: short name, part of file names.
        what: description.
        read: returns the image ``(H, W, C)``.
        true: returns the ground truth label map of the image; None: there is none.
    """

    name: str
    what: str
    read: Callable[[], NDArray[Any]]
    true: Callable[[NDArray[Any]], NDArray[np.int64]] | None = None


@dataclass(frozen=True, eq=False)
class SegmentedPhotograph:
    """A photograph with its prediction.

    Args:
        photograph: the photograph.
        image: its pixels ``(H, W, C)``.
        result: prediction.
        right: number of matched objects (IoU >= .5); None without ground truth.
        true: number of true objects; None without ground truth.
    """

    photograph: Photograph
    image: NDArray[Any]
    result: Segmentation
    right: int | None = None
    true: int | None = None

    @property
    def verdict(self) -> str:
        """Number of objects found, and of matched ones with ground truth, as text."""
        if self.right is None:
            return f"{len(self.result)} objects found"
        extra = len(self.result) - self.right
        others = f"{extra} other object" + ("" if extra == 1 else "s")
        return f"{self.right} of {self.true} {self.photograph.name} found, {others}"


def true_coins(image: NDArray[Any]) -> NDArray[np.int64]:
    """Ground truth for scikit-image's photograph of coins, by classical segmentation.

    Watershed on the Sobel gradient from dark and bright markers, with holes filled. On this
    photograph the result is correct for all coins.

    Args:
        image: ``(H, W)`` or ``(H, W, 1)``, uint8.

    Returns:
        ``(H, W)`` int64 label map of 24 coins.

    Example:
        >>> from skimage.data import coins
        >>> int(true_coins(coins()).max())
        24
    """
    from scipy.ndimage import binary_fill_holes
    from skimage.filters import sobel
    from skimage.measure import label
    from skimage.segmentation import watershed

    gray = image[..., 0] if image.ndim == 3 else image
    markers = np.where(gray < 30, 1, np.where(gray > 150, 2, 0))
    regions = label(binary_fill_holes(watershed(sobel(gray), markers) == 2))
    areas = np.bincount(regions.ravel())
    areas[0] = 0  # background
    return np.asarray(label((areas >= _MIN_COIN_AREA)[regions]), np.int64)


def segment_photograph(model: Any, photograph: Photograph) -> SegmentedPhotograph:
    """Segment a photograph, and match the objects with the ground truth if there is any.

    Args:
        model: model with a method ``segment``.
        photograph: photograph to segment.
    """
    image = photograph.read()
    result: Segmentation = model.segment(image)
    if photograph.true is None:
        return SegmentedPhotograph(photograph, image, result)
    truth = photograph.true(image)
    score = matching(prediction=result.labels, truth=truth, threshold=0.5)
    return SegmentedPhotograph(photograph, image, result, score.tp, score.n_true)


def _coins() -> NDArray[Any]:
    from skimage.data import coins

    return np.asarray(coins())[..., None]


def _tissue() -> NDArray[Any]:
    from skimage.data import immunohistochemistry

    return np.asarray(immunohistochemistry())[128:384, 128:384]


def _galaxies() -> NDArray[Any]:
    from skimage.data import hubble_deep_field

    return np.asarray(hubble_deep_field())[300:700, 300:700]


PHOTOGRAPHS = (
    Photograph("coins", "Greek coins from Pompeii", _coins, true_coins),
    Photograph(
        "tissue",
        "tissue with cell nuclei, in a brown stain that the training images do not have",
        _tissue,
    ),
    Photograph("galaxies", "Hubble deep field: galaxies, unlike all training images", _galaxies),
)
