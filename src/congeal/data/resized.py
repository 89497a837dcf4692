"""An image at another size, of which only the parts asked for are computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from congeal.data.rescale import rescaled_size
from congeal.data.sample import Pixels

__all__ = ["ResizedImage"]

SAMPLED = 1_000_000  # values that statistics are taken over
BAND = 64  # rows of a sample that are computed at once


@dataclass(frozen=True, eq=False)
class ResizedImage:
    """An image whose sides are multiplied by a factor, by linear interpolation.

    Where it gets smaller, each pixel is a weighted mean over the pixels that it covers. Any part
    is equal to that part of the whole resized image, to the last bit.

    Args:
        image: `(H, W, C)`, an array or anything whose slices are arrays.
        factor: 0.5 halves both sides.

    Example:
        >>> shown = ResizedImage(np.arange(8.0).reshape(2, 4, 1), 0.5)
        >>> shown.shape, round(shown[0:1, 1:2].item(), 3)
        ((1, 2, 1), 4.286)
    """

    image: Any
    factor: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.image.shape
        return (*rescaled_size((height, width), self.factor), channels)

    def __getitem__(self, window: tuple[slice, slice]) -> Pixels:
        """Compute rows and columns, as float32."""
        rows, columns = (
            np.arange(length)[part] for length, part in zip(self.shape[:2], window, strict=True)
        )
        return self._compute(rows, columns)

    def pixels(self) -> Pixels:
        """Compute all of it."""
        return self[:, :]

    def sampled(self) -> Pixels:
        """A regular subsample, of about a million values."""
        step = max(1, math.ceil(math.sqrt(math.prod(self.shape) / SAMPLED)))
        rows, columns = (np.arange(0, length, step) for length in self.shape[:2])
        bands = np.array_split(rows, math.ceil(len(rows) / BAND))
        return np.concatenate([self._compute(band, columns) for band in bands])

    def _compute(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
        across, left, right = _weights(columns, self.image.shape[1], self.shape[1])
        down, top, bottom = _weights(rows, self.image.shape[0], self.shape[0])
        window = np.asarray(self.image[top:bottom, left:right]).astype(np.float32)
        channels = window.shape[2]
        squeezed = (down @ window.reshape(len(window), -1)).reshape(len(rows), -1, channels)
        turned = np.ascontiguousarray(squeezed.swapaxes(0, 1)).reshape(right - left, -1)
        laid = (across @ turned).reshape(len(columns), len(rows), channels)
        return np.ascontiguousarray(laid.swapaxes(0, 1))


def _weights(
    places: NDArray[np.int64], before: int, after: int
) -> tuple[sparse.csr_array, int, int]:
    """Weights of the old pixels of a line in some of its new ones, and the old ones that count.

    Args:
        places: indices of new pixels, rising.
        before: old length of the line.
        after: its new length.

    Returns:
        Weights ``(len(places), stop - start)``, start and stop.
    """
    step = before / after
    reach = max(step, 1.0)  # half the base of the triangle of weights
    middles = (places + 0.5) * step
    first = np.floor(middles - reach).clip(0).astype(np.int64)
    last = np.ceil(middles + reach).clip(max=before).astype(np.int64)
    count = int((last - first).max())
    index = first[:, None] + np.arange(count)
    weight = (1 - np.abs(index + 0.5 - middles[:, None]) / reach).clip(0)
    weight[index >= last[:, None]] = 0
    weight /= weight.sum(1, keepdims=True)
    start, stop = int(first[0]), int(last[-1])
    index = (index - start).clip(max=stop - start - 1)
    ends = np.arange(len(places) + 1) * count
    shape = (len(places), stop - start)
    found = sparse.csr_array((weight.ravel().astype(np.float32), index.ravel(), ends), shape=shape)
    return found, start, stop
