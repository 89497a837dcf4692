"""Region hierarchy from the differences of embeddings across boundaries.

Flow: embedding, gradient of the image -> boundary map -> watershed and merging -> contours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from skimage.measure import block_reduce
from torch import Tensor

from congeal.data.intensity import scale_intensity
from congeal.errors import CongealError
from congeal.grouping.contours import RegionHierarchy, gradient_boundary, region_hierarchy
from congeal.methods.method import MapPrediction

__all__ = ["contours_of", "embedding_boundary", "image_gradient", "sized_hierarchy"]

MAX_SIDE = 640  # px, longest side of a map that is not reduced; takes about a second

Boundary = NDArray[np.float64]


def image_gradient(image: NDArray[Any]) -> Boundary:
    """Boundary strength ``(H, W)`` in [0, 1] from the gradient of an image ``(H, W[, C])``.

    For two, or more than three channels: gradient of the mean channel.
    """
    pixels = scale_intensity(image).movedim(0, 2).numpy()
    if pixels.shape[2] not in (1, 3):
        pixels = pixels.mean(2, keepdims=True)
    return gradient_boundary(pixels)


def embedding_boundary(embedding: Tensor, gradient: Boundary) -> Boundary:
    """Boundary strength from embedding and image: sqrt((1 - cos) / 2 * gradient).

    ``cos`` is the cosine of the embeddings of the previous and the next cell along an axis; the
    larger distance of both axes counts. The gradient adds the exact position of the boundary.

    Args:
        embedding: ``(D, h, w)`` unit vectors.
        gradient: ``(H, W)``, image gradient in [0, 1].

    Returns:
        ``(H, W)`` in [0, 1].

    Example:
        >>> import torch
        >>> halves = torch.eye(2)[:, [0, 0, 0, 1, 1, 1]][:, None].repeat(1, 4, 1)  # (2, 4, 6)
        >>> embedding_boundary(halves, np.ones((8, 12)))[4].round(1).tolist()
        [0.0, 0.0, 0.0, 0.4, 0.6, 0.7, 0.7, 0.6, 0.4, 0.0, 0.0, 0.0]
    """
    unit = embedding.float().cpu().numpy().astype(np.float64)
    apart: Boundary = np.zeros(unit.shape[1:])
    for axis in range(2):
        np.maximum(apart, _across(unit, axis), out=apart)
    shapes: list[tuple[int, int]] = list(zip(gradient.shape, apart.shape, strict=True))
    places = [
        ((np.arange(length) + 0.5) * cells / length - 0.5).clip(0, cells - 1)
        for length, cells in shapes
    ]
    fine = map_coordinates(apart, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
    return np.asarray(np.sqrt(fine.clip(0, 1) * gradient))


def contours_of(maps: MapPrediction) -> Boundary:
    """The ultrametric contour map ``(2 H + 1, 2 W + 1)`` of an image.

    Args:
        maps: with the map ``embedding`` and the extra ``gradient``.

    Raises:
        CongealError: there is no gradient.
    """
    gradient = maps.extra.get("gradient")
    if gradient is None:
        raise CongealError("expected maps predicted with decoding.hierarchy, got others")
    return sized_hierarchy(embedding_boundary(maps.maps["embedding"], gradient)).contours()


def _across(unit: Boundary, axis: int) -> Boundary:
    """``(h, w)``: (1 - cos) / 2 of previous and next cell along an axis; 0 at the border."""
    apart = np.zeros(unit.shape[1:])
    if apart.shape[axis] > 2:
        rows = np.moveaxis(unit, axis + 1, 1)
        cosine = (rows[:, :-2] * rows[:, 2:]).sum(0)
        np.moveaxis(apart, axis, 0)[1:-1] = (1 - cosine) / 2
    return apart


def sized_hierarchy(strength: Boundary, scale: float = 1.0) -> RegionHierarchy:
    """Region hierarchy of a boundary map ``(H, W)``; large maps are reduced by block maxima.

    Args:
        strength: boundary strength in [0, 1].
        scale: relative size of the required regions; the map is reduced by floor(1 / scale), for
            example 2 for .4 and 1 for .6.

    Example:
        >>> wide = np.zeros((4, 1300))
        >>> wide[:, 700] = 0.9
        >>> found = sized_hierarchy(wide)
        >>> found.regions.shape, int(found.segments(0.5).max())
        ((4, 1300), 2)
    """
    step = max(math.ceil(max(strength.shape) / MAX_SIDE), math.floor(1 / scale))
    if step == 1:
        return region_hierarchy(strength)
    coarse = region_hierarchy(block_reduce(strength, step, np.max))
    height, width = strength.shape
    whole = coarse.regions.repeat(step, 0).repeat(step, 1)[:height, :width]
    return RegionHierarchy(whole, coarse.merges)
