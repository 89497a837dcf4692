"""Segments of an image: split by class, refined to full resolution, bounding boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from congeal.data.sample import Sample
from congeal.labels import VOID
from congeal.sphere import normalise

__all__ = ["boxes_of", "class_map", "cut_by_class", "refine", "rows_of"]

BLOCK = 2**22  # values of an embedding at full resolution processed at once


def class_map(sample: Sample) -> NDArray[np.int64]:
    """Class of each pixel ``(H, W)``, from the semantic map or the objects; -1 void.

    Objects without classes have class 1.

    Example:
        >>> class_map(Sample("a", np.zeros((1, 3, 1)), np.array([[0, 2, -1]]))).tolist()
        [[0, 1, -1]]
    """
    if sample.semantic is not None:
        return sample.semantic
    if sample.classes is None:
        return np.minimum(sample.labels, 1)
    table = np.concatenate([[0], sample.classes, [VOID]])  # index -1 (void) is the last
    return np.asarray(table[sample.labels], np.int64)


def cut_by_class(clusters: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Split clusters by class.

    Args:
        clusters: ``(h, w)`` int64, 0: no cluster.
        truth: ``(h, w)`` int64 classes, -1 void; void pixels are in no cluster.

    Returns:
        Segments ``(h, w)`` 1..K (0: none), and their classes ``(K,)``.

    Example:
        >>> cut, classes = cut_by_class(torch.tensor([[1, 1, 0]]), torch.tensor([[0, 3, -1]]))
        >>> cut.tolist(), classes.tolist()
        ([[1, 2, 0]], [0, 3])
    """
    kinds = max(int(truth.max()) + 1, 1)
    both = torch.where(clusters > 0, clusters * kinds + truth.clamp_min(0), 0)
    present, own = torch.unique(both, return_inverse=True)
    none = int(bool(present[0] == 0))
    return own + 1 - none, present[none:] % kinds


def rows_of(length: int, shown: int, cells: int, stride: int) -> Tensor:
    """Nearest image pixel of each cell of a map, along one axis.

    Args:
        length: pixels of the image.
        shown: pixels of the scaled image.
        cells: cells of the map.
        stride: stride of the map in pixels of the scaled image.

    Returns:
        ``(cells,)`` int64, 0..length - 1.

    Example:
        >>> rows_of(7, 7, 4, 2).tolist()
        [0, 2, 4, 6]
    """
    place = (torch.arange(cells) * stride + 0.5) * (length / shown) - 0.5
    return place.round().long().clamp(0, length - 1)


def refine(
    labels: Tensor,
    embedding: Tensor,
    size: tuple[int, int],
    *,
    shown: tuple[int, int],
    stride: int,
    location_weight: float,
) -> Tensor:
    """Assign each pixel of the image to the nearest segment: an E step at full resolution.

    Args:
        labels: ``(h, w)`` int64 segments 1..K.
        embedding: ``(D, h, w)``, on the same grid.
        size: height and width of the image.
        shown: height and width of the scaled image.
        stride: stride of the map in pixels of the scaled image.
        location_weight: as in k-means.

    Returns:
        ``(H, W)`` int64, 1..K.

    Example:
        >>> embedding = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
        >>> labels = torch.tensor([[1, 2]])
        >>> options = {"shown": (1, 4), "stride": 2, "location_weight": 0.0}
        >>> refine(labels, embedding, (1, 4), **options).tolist()
        [[1, 1, 2, 2]]
    """
    at = [_places(*axis, stride, embedding) for axis in zip(size, shown, strict=True)]
    share = [torch.arange(n, device=embedding.device) / n for n in labels.shape]
    features = _features(embedding, share, location_weight).flatten(1)  # (E, h w)
    count = int(labels.max())
    one_hot = functional.one_hot(labels.flatten() - 1, count).to(features)  # (h w, K)
    centres = normalise(features @ one_hot, dim=0)  # (E, K)
    share = [torch.arange(n, device=embedding.device) / n for n in size]
    found = []
    for rows in _blocks(size[0], size[1] * len(features)):
        fine = _sample(embedding, at[0][rows], at[1])
        place = _features(fine, [share[0][rows], share[1]], location_weight)
        found.append(torch.einsum("eyx,ek->yxk", place, centres).argmax(2) + 1)
    return torch.cat(found)


def boxes_of(labels: Tensor, count: int) -> Tensor:
    """Bounding boxes ``(K, 4)`` of segments 1..K: y0, x0, y1, x1 as shares of the sides.

    Example:
        >>> boxes_of(torch.tensor([[1, 1, 2, 2]]), 2).tolist()
        [[0.0, 0.0, 1.0, 0.5], [0.0, 0.5, 1.0, 1.0]]
    """
    own = labels.flatten()
    inside = own > 0
    sides = []
    for axis, length in enumerate(labels.shape):
        shape = [-1 if other == axis else 1 for other in range(2)]
        steps = torch.arange(length, device=labels.device).reshape(shape)
        place = steps.expand(labels.shape).flatten()[inside].float()
        blank = place.new_zeros(count)
        for how in ("amin", "amax"):
            edge = blank.scatter_reduce(0, own[inside] - 1, place, how, include_self=False)
            sides.append((edge + (how == "amax")) / length)
    return torch.stack([sides[0], sides[2], sides[1], sides[3]], 1)


def _blocks(rows: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(width, 1))
    return (slice(start, start + step) for start in range(0, rows, step))


def _places(length: int, shown: int, stride: int, like: Tensor) -> Tensor:
    """Positions of the pixels of the image in a map, ``(length,)``, in cells."""
    middle = torch.arange(length, device=like.device, dtype=torch.float32) + 0.5
    return (middle * (shown / length) - 0.5) / stride


def _sample(embedding: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Interpolate ``(D, h, w)`` at positions y and x, ``(D, len(y), len(x))``."""
    sides = [max(n - 1, 1) for n in embedding.shape[1:]]
    rows, columns = torch.meshgrid(2 * y / sides[0] - 1, 2 * x / sides[1] - 1, indexing="ij")
    grid = torch.stack([columns, rows], -1)[None].to(embedding.dtype)
    fine: Tensor = functional.grid_sample(
        embedding[None], grid, padding_mode="border", align_corners=True
    )
    return fine[0]


def _features(embedding: Tensor, share: list[Tensor], weight: float) -> Tensor:
    """Unit vectors of embedding and position, ``(D + 2, h, w)``."""
    place = torch.stack(torch.meshgrid(*share, indexing="ij")).to(embedding)
    scaled = weight * place
    return normalise(torch.cat([normalise(embedding, dim=0), scaled]), dim=0)
