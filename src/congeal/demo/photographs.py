"""Photographs that come with scikit-image, and the true coins of one of them."""

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
"""Coins in the photograph of coins."""

# A region below this many pixels is dirt on the cloth; the smallest coin has over a thousand.
_SMALLEST_COIN = 200


@dataclass(frozen=True)
class Photograph:
    """A picture to try a model on.

    Args:
        name: short, also part of file names.
        what: what there is to see.
        read: gives the image `(H, W, C)`.
        true: gives its true label map, where there is one.
    """

    name: str
    what: str
    read: Callable[[], NDArray[Any]]
    true: Callable[[NDArray[Any]], NDArray[np.int64]] | None = None


@dataclass(frozen=True, eq=False)
class SegmentedPhotograph:
    """A photograph with what a model found in it.

    Args:
        photograph: which one.
        image: its pixels `(H, W, C)`.
        result: the objects found.
        right: how many of the true objects are among them (IoU of at least one half).
        true: how many true objects there are.
    """

    photograph: Photograph
    image: NDArray[Any]
    result: Segmentation
    right: int | None = None
    true: int | None = None

    @property
    def verdict(self) -> str:
        """What was found, in a few words."""
        if self.right is None:
            return f"{len(self.result)} objects found"
        extra = len(self.result) - self.right
        others = f"{extra} other object" + ("" if extra == 1 else "s")
        return f"{self.right} of {self.true} {self.photograph.name} found, {others}"


def true_coins(image: NDArray[Any]) -> NDArray[np.int64]:
    """Find the coins of scikit-image's photograph without learning, to count against.

    Bright and dark markers grow over the edges (watershed on a Sobel gradient), and holes are
    filled; on this one photograph that is right for each coin.

    Args:
        image: `(H, W)` or `(H, W, 1)`, uint8.

    Returns:
        Label map `(H, W)` of 24 coins.

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
    areas[0] = 0  # the cloth
    return np.asarray(label((areas >= _SMALLEST_COIN)[regions]), np.int64)


def segment_photograph(model: Any, photograph: Photograph) -> SegmentedPhotograph:
    """Segment a photograph and count what is right, where that is known."""
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
    Photograph(
        "galaxies", "Hubble deep field: galaxies, which the model has never seen", _galaxies
    ),
)
