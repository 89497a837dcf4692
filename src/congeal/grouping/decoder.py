"""Decoding of an embedding to objects at full resolution: group, upsample, clean up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from congeal.autograd import full_precision
from congeal.errors import CongealError
from congeal.grouping.components import absorb_small, fill_holes, split_parts
from congeal.grouping.groups import Grouping
from congeal.grouping.windows import assign_around

__all__ = ["GroupDecoder"]

Labels = NDArray[np.int64]
MIN_SEED_MASS = 1e-3  # mass of a pixel with seed weight 0


@dataclass(frozen=True)
class GroupDecoder:
    """Decodes the embedding of one image to a label map at full resolution.

    The pixels of the embedding are grouped; every pixel of the image takes, of the groups around
    it in that coarse map, the one whose prototype is most like its interpolated embedding.

    Args:
        grouping: groups the coarse pixels, such as :class:`congeal.grouping.MeanShift`.
        min_area: pixels of the image under which an object joins a neighbour or is dropped.
        min_area_ratio: the same as a share of the median area in the image; objects that the edge
            of the image cuts are spared.
        split_components: split objects into connected parts.
        fill_holes: fill background that one object surrounds.

    Raises:
        CongealError: when called with shapes that do not fit.

    Example:
        >>> from congeal.grouping import MeanShift
        >>> embedding = torch.zeros(2, 4, 4)
        >>> embedding[0, :, :2], embedding[1, :, 2:] = 1, 1
        >>> decoder = GroupDecoder(MeanShift(), min_area=1)
        >>> decoder(embedding, torch.ones(8, 8, dtype=torch.bool), stride=2)[0].tolist()
        [1, 1, 1, 1, 2, 2, 2, 2]
    """

    grouping: Grouping
    min_area: float = 16.0
    min_area_ratio: float = 0.0
    split_components: bool = False
    fill_holes: bool = False

    @torch.no_grad()
    @full_precision
    def __call__(
        self,
        embedding: Tensor,
        mask: Tensor,
        weights: Tensor | None = None,
        *,
        stride: int = 1,
    ) -> Labels:
        """Group the pixels of a mask.

        Args:
            embedding: ``(D, h, w)`` unit vectors.
            mask: ``(H, W)`` bool at full resolution; h >= H / stride.
            weights: ``(H, W)`` seed weight of each pixel, at least 0.
            stride: pixels of the image per pixel of the embedding.

        Returns:
            ``(H, W)`` int64 labels: 0 outside the mask, 1..K consecutive.
        """
        _check(embedding, mask, weights, stride)
        embedding = embedding.float()
        coarse, mass = _coarsen(mask, weights, embedding, stride)
        if not bool(coarse.any()):
            return np.zeros(tuple(mask.shape), np.int64)
        embedding = embedding * coarse  # outlines are not to be mixed with background
        groups = self.grouping.group(embedding, coarse, mass)
        labels = absorb_small(groups.labels.cpu().numpy(), self.min_area / stride**2)
        return self._tidy(_draw(labels, embedding, mask, stride))

    def _tidy(self, labels: Labels) -> Labels:
        if self.split_components:
            labels = split_parts(labels)
        labels = absorb_small(labels, self.min_area)
        area = np.bincount(labels.ravel())[1:]
        if self.min_area_ratio and area.any():
            median = float(np.median(area[area > 0]))
            labels = absorb_small(labels, self.min_area_ratio * median, spare_edge=True)
        if self.fill_holes:
            labels = fill_holes(labels)
        present = np.bincount(labels.ravel()) > 0
        present[0] = False
        renamed = np.where(present, present.cumsum(), 0)
        return renamed[labels]


def _check(embedding: Tensor, mask: Tensor, weights: Tensor | None, stride: int) -> None:
    if embedding.ndim != 3 or mask.ndim != 2:
        raise CongealError(
            "expected embedding (D, h, w) and mask (H, W), "
            f"got {tuple(embedding.shape)} and {tuple(mask.shape)}"
        )
    height, width = mask.shape
    if embedding.shape[1] * stride < height or embedding.shape[2] * stride < width:
        raise CongealError(
            f"expected an embedding that covers {height} x {width} pixels at stride {stride}, "
            f"got {tuple(embedding.shape)}"
        )
    if weights is not None and weights.shape != mask.shape:
        raise CongealError(
            f"expected weights of the mask's {height} x {width} pixels, got {tuple(weights.shape)}"
        )


def _coarsen(
    mask: Tensor, weights: Tensor | None, embedding: Tensor, stride: int
) -> tuple[Tensor, Tensor]:
    """The mask (any pixel set) and the mean weight, on the grid of the embedding."""
    height, width = mask.shape
    rows, columns = embedding.shape[1:]
    pad = (0, columns * stride - width, 0, rows * stride - height)
    trust = mask.float() if weights is None else weights.float()
    whole = functional.pad(torch.stack([mask.float(), trust])[None], pad)
    coarse = functional.max_pool2d(whole[:, :1], stride)[0, 0] > 0
    mass = functional.avg_pool2d(whole[:, 1:], stride)[0, 0].clamp_min(MIN_SEED_MASS)
    return coarse, mass * coarse


def _draw(labels: Labels, embedding: Tensor, mask: Tensor, stride: int) -> Labels:
    """Assign each pixel of the mask to the best of the groups ``(h, w)`` around it."""
    coarse = torch.from_numpy(labels).to(embedding.device)
    sums = embedding.new_zeros(int(coarse.max()) + 1, len(embedding))
    sums.index_add_(0, coarse.reshape(-1), embedding.flatten(1).T.contiguous())
    prototypes = functional.normalize(sums, dim=1)
    places = mask.nonzero()
    drawn = torch.zeros(mask.shape, dtype=torch.int64, device=mask.device)
    drawn[mask] = assign_around(
        coarse,
        prototypes[coarse],
        places,
        stride,
        lambda some: _interpolate(embedding, places[some], stride),
    )
    return drawn.cpu().numpy()


def _interpolate(embedding: Tensor, places: Tensor, stride: int) -> Tensor:
    """Embeddings ``(N, D)`` at pixels ``(N, 2)`` of the image, bilinear."""
    size = places.new_tensor([embedding.shape[2], embedding.shape[1]]) * stride
    grid = (2 * places.flip(1) + 1).to(embedding.dtype) / size - 1
    points = functional.grid_sample(
        embedding[None], grid[None, None], padding_mode="border", align_corners=False
    )
    return points[0, :, 0].T
