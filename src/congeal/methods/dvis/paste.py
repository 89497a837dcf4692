"""Masks at the resolution of the value map, drawn at the resolution of the image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from congeal.data.rescale import rescaled_size

__all__ = ["Frame", "sample_labels"]


def sample_labels(labels: Tensor, stride: int) -> Tensor:
    """Every ``stride``-th pixel of ``(B, H, W)``, those that :class:`Frame` takes maps to be at.

    Example:
        >>> sample_labels(torch.arange(8).reshape(1, 1, 8), 4).tolist()
        [[[1, 5]]]
    """
    first = (stride - 1) // 2
    rows, columns = (range(first, side + first, stride) for side in labels.shape[-2:])
    at = [
        torch.tensor(axis).clamp(max=side - 1).to(labels.device)
        for axis, side in zip((rows, columns), labels.shape[-2:], strict=True)
    ]
    return labels[:, at[0][:, None], at[1]]


class Frame:
    """Where the pixels of an image lie on a map of it.

    Args:
        size: height and width of the image.
        map_size: height and width of the map.
        stride: of the map, in pixels of the image as shown to the network.
        scale: size at which the image was shown.

    Example:
        >>> frame = Frame((4, 4), (2, 2), stride=2)
        >>> frame.draw(torch.eye(2, dtype=torch.bool)).astype(int)[0].tolist()
        [1, 1, 0, 0]
    """

    def __init__(
        self, size: tuple[int, int], map_size: tuple[int, int], stride: int, scale: float = 1.0
    ) -> None:
        self.size = size
        shown = rescaled_size(size, scale)
        self.rows, self.columns = (
            _interpolation(*sides, stride) for sides in zip(size, shown, map_size, strict=True)
        )

    def draw(self, mask: Tensor) -> NDArray[np.bool_]:
        """A mask ``(h, w)`` at the resolution of the image, ``(H, W)``.

        Masks that share no pixel share none after it: the values of all masks, interpolated,
        add up to 1, and a pixel belongs to a mask of more than one half.
        """
        drawn = np.zeros(self.size, bool)
        window, part = self.crop(mask)
        drawn[window] = part
        return drawn

    def crop(self, mask: Tensor) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
        """The same, as the window that holds it and what is in the window."""
        inside = mask.float().cpu().numpy()
        rows, columns = (_span(inside.max(axis) > 0) for axis in (1, 0))
        above, across = self.rows[:, rows], self.columns[:, columns]
        window = tuple(_span(matrix.sum(1) > 0.5) for matrix in (above, across))
        part = above[window[0]] @ inside[rows, columns] @ across[window[1]].T > 0.5
        return (window[0], window[1]), part


def _span(marked: NDArray[np.bool_]) -> slice:
    """From the first to the last that is marked; empty where none is."""
    places = np.flatnonzero(marked)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _interpolation(side: int, shown: int, cells: int, stride: int) -> NDArray[np.float32]:
    """Weights ``(side, cells)`` of linear interpolation.

    Cell i stands for pixel ``stride * i + (stride - 1) // 2`` of what the network saw. Pixels
    half way between two cells belong to the former, so that no gap opens between neighbours.
    """
    pixel = (np.arange(side) + 0.5) * (shown / side) - 0.5
    place = np.clip((pixel - (stride - 1) // 2) / stride - 1e-3, 0, cells - 1)
    before = np.floor(place).astype(int)
    after = np.minimum(before + 1, cells - 1)
    weights = np.zeros((side, cells), np.float32)
    np.add.at(weights, (np.arange(side), before), 1 - (place - before))
    np.add.at(weights, (np.arange(side), after), place - before)
    return weights
