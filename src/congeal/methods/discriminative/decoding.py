"""Decoding of embeddings and a class map into a label map (De Brabandere et al., section 3.2).

Flow, for each class: class mask on the grid of the embedding -> grouping -> small groups are merged
with a neighbour -> each pixel gets the nearest group of the 3 x 3 cells around it -> components
split, small objects merged, holes filled.
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
MAX_SAMPLES = 2048  # pixels of a class that shift in SampledFlatShift
CHUNK = 65_536  # pixels assigned at once; bounds the memory of the distances


@dataclass(frozen=True)
class SampledFlatShift:
    """Flat-kernel mean shift of a sample of the pixels; each pixel gets the nearest centre.

    Mean shift costs O(samples^2) per step whatever the size of the image; the assignment costs one
    distance per pixel and centre.

    Args:
        shift: grouping of the sample.
        samples: maximum number of pixels in the sample, evenly spread over the mask.

    Example:
        >>> grouping = SampledFlatShift(FlatMeanShift(0.5), samples=3)
        >>> grouping.label(torch.tensor([[[0.0, 0.1, 9.0]]]), torch.ones(1, 3) > 0).tolist()
        [[1, 1, 2]]
    """

    shift: FlatMeanShift
    samples: int = MAX_SAMPLES

    def label(self, embedding: Tensor, mask: Tensor) -> Tensor:
        """Label the pixels of a mask.

        Args:
            embedding: ``(D, h, w)``.
            mask: ``(h, w)`` bool.

        Returns:
            ``(h, w)`` int64 labels, 0 outside the mask.
        """
        points = embedding[:, mask].T  # (N, D)
        labels = torch.zeros(mask.shape, dtype=torch.int64, device=mask.device)
        chosen = spread_indices(len(points), self.samples, points.device)
        found = self.shift.group(points[chosen].T)
        if len(found):
            centres = found.prototypes
            nearest = [torch.cdist(part, centres).argmin(1) for part in points.split(CHUNK)]
            labels[mask] = torch.cat(nearest) + 1
        return labels


@dataclass(frozen=True)
class InstanceDecoder:
    """Turns an embedding and a class map into a label map.

    Args:
        label: ``label(embedding, mask)`` returns the labels ``(h, w)`` of the pixels of one class.
        min_area: smaller objects are merged with a neighbour of their class, or removed; px.
        split_components: split objects into connected components.
        fill_holes: fill background that is enclosed by one object.

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
            ``(H, W)`` int64 labels, 0 on background. Each object has pixels of one class only.
        """
        embedding = embedding.float()
        label_map = np.zeros(tuple(classes.shape), np.int64)
        for class_id in torch.unique(classes[classes > 0]).tolist():
            labels = self._label_class(embedding, classes == class_id, stride)
            label_map[labels > 0] = labels[labels > 0] + label_map.max(initial=0)
        return fill_holes(label_map) if self.fill_holes else label_map

    def _label_class(self, embedding: Tensor, mask: Tensor, stride: int) -> Labels:
        """Labels ``(H, W)`` of the pixels of one class."""
        cells = _cells(mask, stride)
        if not bool(cells.any()):
            return np.zeros(tuple(mask.shape), np.int64)
        labels = self.label(embedding, cells).cpu().numpy()
        if stride > 1:
            labels = absorb_small(labels, self.min_area / stride**2)
            labels = _refine(torch.from_numpy(labels).to(mask.device), embedding, mask, stride)
        if self.split_components:
            labels = split_parts(labels)
        return absorb_small(labels, self.min_area)


def labels_by(grouping: Grouping) -> Callable[[Tensor, Tensor], Tensor]:
    """Adapt a grouping to label the pixels of a mask.

    Args:
        grouping: any grouping of :mod:`congeal.grouping`.

    Example:
        >>> label = labels_by(FlatMeanShift(0.5))
        >>> label(torch.tensor([[[0.0, 0.1, 9.0]]]), torch.ones(1, 3) > 0).tolist()
        [[1, 1, 2]]
    """
    return lambda embedding, mask: grouping.group(embedding * mask, mask).labels


def _cells(mask: Tensor, stride: int) -> Tensor:
    """Cells of the embedding, ``(h, w)`` bool, that belong to a mask ``(H, W)``.

    A cell belongs to it if at least half of its pixels do. Cells with fewer are used only where no
    neighbour has half, for small objects: the loss does not train embeddings of background.
    """
    if stride == 1:
        return mask
    rows, columns = (-(-side // stride) for side in mask.shape)
    pad = (0, columns * stride - mask.shape[1], 0, rows * stride - mask.shape[0])
    padded = functional.pad(mask[None, None].float(), pad)
    share = functional.avg_pool2d(padded, stride)  # (1, 1, h, w)
    half = (share >= 0.5).float()
    isolated = (share > 0) & (functional.max_pool2d(half, 3, 1, 1) == 0)
    return (half.bool() | isolated)[0, 0]


def _refine(labels: Tensor, embedding: Tensor, mask: Tensor, stride: int) -> Labels:
    """Labels at full resolution: for each pixel the nearest group of the 3 x 3 cells around it.

    Args:
        labels: ``(h, w)`` int64 labels of cells.
        embedding: ``(D, h, w)``.
        mask: ``(H, W)`` bool; all other pixels get 0.
        stride: pixels of the image per cell.
    """
    refined = np.zeros(tuple(mask.shape), np.int64)
    sums = embedding.new_zeros(int(labels.max()) + 1, len(embedding))
    sums.index_add_(0, labels.reshape(-1), embedding.flatten(1).T.contiguous())
    means = sums / torch.bincount(labels.reshape(-1)).clamp_min(1)[:, None]  # (K + 1, D)
    padded = functional.pad(labels, (1, 1, 1, 1))
    rows, columns = mask.nonzero(as_tuple=True)
    for y, x in zip(rows.split(CHUNK), columns.split(CHUNK), strict=True):
        points = _interpolate(embedding, y, x, stride)
        nearest = points.new_full((len(points),), torch.inf)
        label = torch.zeros_like(y)
        for candidate in _neighbours(padded, y // stride, x // stride):
            distance = (points - means[candidate]).square().sum(1)
            nearer = (distance < nearest) & (candidate > 0)
            nearest = torch.where(nearer, distance, nearest)
            label = torch.where(nearer, candidate, label)
        refined[y.cpu().numpy(), x.cpu().numpy()] = label.cpu().numpy()
    return refined


def _neighbours(padded: Tensor, rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Labels of the cells, then of their eight neighbours, ``(N,)`` each."""
    yield padded[rows + 1, columns + 1]
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                yield padded[rows + down, columns + right]


def _interpolate(embedding: Tensor, rows: Tensor, columns: Tensor, stride: int) -> Tensor:
    """Embeddings ``(N, D)`` at pixels of the image, bilinear."""
    position = torch.stack([columns, rows], -1).float()
    size = position.new_tensor([embedding.shape[2], embedding.shape[1]]) * stride
    points = functional.grid_sample(
        embedding[None],
        ((2 * position + 1) / size - 1)[None, None],
        padding_mode="border",
        align_corners=False,
    )
    return points[0, :, 0].T
