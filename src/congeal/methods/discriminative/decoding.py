"""From embeddings and the classes of pixels to a label map (De Brabandere et al., section 3.2).

Flow: classes ``(H, W)`` on the grid of the embedding -> grouping of each class -> small groups join
a neighbour -> every pixel goes to the nearest group of its class around it -> tidied label map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from congeal.autograd import full_precision
from congeal.grouping.components import absorb_small, fill_holes, split_parts
from congeal.grouping.flat_shift import FlatMeanShift
from congeal.grouping.groups import Grouping
from congeal.grouping.sampling import spread_indices

__all__ = ["InstanceDecoder", "SampledFlatShift", "labels_by"]

Labels = NDArray[np.int64]
SAMPLES = 2048  # pixels of a class that shift, where only some do
POINTS = 65_536  # full-resolution pixels assigned at once


@dataclass(frozen=True)
class SampledFlatShift:
    """Flat-kernel mean shift of some pixels; the others go to the nearest centre.

    The cost does not grow with the image but for one distance to each centre.

    Args:
        shift: groups the pixels sampled.
        samples: at most so many, spread evenly over the mask.

    Example:
        >>> grouping = SampledFlatShift(FlatMeanShift(0.5), samples=3)
        >>> grouping.label(torch.tensor([[[0.0, 0.1, 9.0]]]), torch.ones(1, 3) > 0).tolist()
        [[1, 1, 2]]
    """

    shift: FlatMeanShift
    samples: int = SAMPLES

    def label(self, embedding: Tensor, mask: Tensor) -> Tensor:
        """``(D, h, w)`` and a mask ``(h, w)`` to labels ``(h, w)`` int64, 0 outside the mask."""
        points = embedding[:, mask].T  # (N, D)
        labels = torch.zeros(mask.shape, dtype=torch.int64, device=mask.device)
        chosen = spread_indices(len(points), self.samples, points.device)
        found = self.shift.group(points[chosen].T)
        if len(found):
            centres = found.prototypes
            nearest = [torch.cdist(part, centres).argmin(1) for part in points.split(POINTS)]
            labels[mask] = torch.cat(nearest) + 1
        return labels


@dataclass(frozen=True)
class InstanceDecoder:
    """Turns an embedding and a map of classes into objects.

    Args:
        label: gives the labels ``(h, w)`` of the pixels of one class, from ``(D, h, w)`` and their
            mask.
        min_area: pixels under which an object joins a neighbour of its class, or goes.
        split_components: split objects into connected parts.
        fill_holes: fill background that one object surrounds.

    Example:
        >>> decoder = InstanceDecoder(labels_by(FlatMeanShift(0.5)))
        >>> decoder(torch.tensor([[[0.0, 0.0, 9.0]]]), torch.tensor([[1, 2, 2]])).tolist()
        [[1, 2, 3]]
    """

    label: Callable[[Tensor, Tensor], Tensor]
    min_area: float = 0.0
    split_components: bool = False
    fill_holes: bool = False

    @torch.no_grad()
    @full_precision
    def __call__(self, embedding: Tensor, classes: Tensor, stride: int = 1) -> Labels:
        """Group the pixels of each class.

        Args:
            embedding: ``(D, h, w)``, h = ceil(H / stride).
            classes: ``(H, W)`` int64, 0 background.
            stride: pixels of the image per pixel of the embedding.

        Returns:
            ``(H, W)`` int64 labels, 0 outside all classes, no object of two classes.
        """
        embedding = embedding.float()
        drawn = np.zeros(tuple(classes.shape), np.int64)
        for one in torch.unique(classes[classes > 0]).tolist():
            mask = classes == one
            labels = self._of_class(embedding, mask, stride)
            drawn[labels > 0] = labels[labels > 0] + drawn.max(initial=0)
        return fill_holes(drawn) if self.fill_holes else drawn

    def _of_class(self, embedding: Tensor, mask: Tensor, stride: int) -> Labels:
        cells = _cells(mask, stride)
        if not bool(cells.any()):
            return np.zeros(tuple(mask.shape), np.int64)
        labels = self.label(embedding, cells).cpu().numpy()
        if stride > 1:
            labels = absorb_small(labels, self.min_area / stride**2)
            labels = _draw(torch.from_numpy(labels).to(mask.device), embedding, mask, stride)
        if self.split_components:
            labels = split_parts(labels)
        return absorb_small(labels, self.min_area)


def labels_by(grouping: Grouping) -> Callable[[Tensor, Tensor], Tensor]:
    """Let any grouping label the pixels of a mask.

    Example:
        >>> label = labels_by(FlatMeanShift(0.5))
        >>> label(torch.tensor([[[0.0, 0.1, 9.0]]]), torch.ones(1, 3) > 0).tolist()
        [[1, 1, 2]]
    """
    return lambda embedding, mask: grouping.group(embedding * mask, mask).labels


def _cells(mask: Tensor, stride: int) -> Tensor:
    """Cells of the embedding that the mask fills by half, and lone ones that it touches.

    A cell that is mostly background has an embedding that nothing was asked of; where there is
    no better one nearby, it stands for a small object.
    """
    if stride == 1:
        return mask
    rows, columns = (-(-side // stride) for side in mask.shape)
    pad = (0, columns * stride - mask.shape[1], 0, rows * stride - mask.shape[0])
    padded = functional.pad(mask[None, None].float(), pad)
    share = functional.avg_pool2d(padded, stride)  # (1, 1, h, w)
    filled = (share >= 0.5).float()
    lone = (share > 0) & (functional.max_pool2d(filled, 3, 1, 1) == 0)
    return (filled.bool() | lone)[0, 0]


def _draw(labels: Tensor, embedding: Tensor, mask: Tensor, stride: int) -> Labels:
    """Give each pixel of a mask the nearest of the groups ``(h, w)`` around it."""
    drawn = np.zeros(tuple(mask.shape), np.int64)
    sums = embedding.new_zeros(int(labels.max()) + 1, len(embedding))
    sums.index_add_(0, labels.reshape(-1), embedding.flatten(1).T.contiguous())
    means = sums / torch.bincount(labels.reshape(-1)).clamp_min(1)[:, None]  # (K + 1, D)
    around = functional.pad(labels, (1, 1, 1, 1))
    rows, columns = mask.nonzero(as_tuple=True)
    for y, x in zip(rows.split(POINTS), columns.split(POINTS), strict=True):
        points = _interpolate(embedding, y, x, stride)
        best = points.new_full((len(points),), torch.inf)
        label = torch.zeros_like(y)
        for candidate in _neighbours(around, y // stride, x // stride):
            away = (points - means[candidate]).square().sum(1)
            better = (away < best) & (candidate > 0)
            best, label = torch.where(better, away, best), torch.where(better, candidate, label)
        drawn[y.cpu().numpy(), x.cpu().numpy()] = label.cpu().numpy()
    return drawn


def _neighbours(around: Tensor, rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """The label of a cell, then those of the eight around it."""
    yield around[rows + 1, columns + 1]
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                yield around[rows + down, columns + right]


def _interpolate(embedding: Tensor, rows: Tensor, columns: Tensor, stride: int) -> Tensor:
    """Embeddings ``(N, D)`` at pixels of the image."""
    place = torch.stack([columns, rows], -1).float()
    size = place.new_tensor([embedding.shape[2], embedding.shape[1]]) * stride
    points = functional.grid_sample(
        embedding[None],
        ((2 * place + 1) / size - 1)[None, None],
        padding_mode="border",
        align_corners=False,
    )
    return points[0, :, 0].T
