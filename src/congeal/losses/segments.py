"""The pixels of a batch by segment, with image and class of each segment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from congeal.errors import CongealError, require_tensor
from congeal.sphere import normalise

__all__ = [
    "SegmentMap",
    "SegmentPrototypes",
    "Segments",
    "check_maps",
    "gather_segments",
    "intersect_segments",
    "segment_prototypes",
]


class SegmentMap(NamedTuple):
    """Segments numbered through a batch.

    Attributes:
        labels: ``(B, *S)`` int64: 1..K, no two images share a number; 0 no segment; -1 void.
        classes: ``(K,)`` int64, the semantic class of each segment.
        images: ``(K,)`` int64, the image each segment lies in, 0..B-1.
    """

    labels: Tensor
    classes: Tensor
    images: Tensor


class SegmentPrototypes(NamedTuple):
    """The mean direction of each segment of a batch.

    Attributes:
        prototypes: ``(K, D)`` unit vectors; a segment whose pixels cancel out has the zero vector.
        classes: ``(K,)`` int64, the semantic class of each segment; 0 where no map was given.
        images: ``(K,)`` int64, the image each segment lies in, 0..B-1.
    """

    prototypes: Tensor
    classes: Tensor
    images: Tensor


class _Numbers(NamedTuple):
    """Pixels that lie in a segment, and the segments, sorted by image, class and label."""

    place: Tensor  # (N,) index into the flattened map, rising
    own: Tensor  # (N,) segment of each pixel, 0..K-1
    images: Tensor  # (K,)
    classes: Tensor  # (K,)


@dataclass(frozen=True, eq=False)
class Segments:
    """The pixels of a batch that lie in a segment.

    Attributes:
        pixels: ``(N, D)`` embeddings, float32 or better.
        own: ``(N,)`` int64, the segment of each pixel, 0..K-1.
        images: ``(K,)`` int64, the image of each segment, never falling.
        classes: ``(K,)`` int64, the semantic class of each segment; 0 where no map was given.
    """

    pixels: Tensor
    own: Tensor
    images: Tensor
    classes: Tensor

    @property
    def areas(self) -> Tensor:
        """``(K,)`` int64 pixels of each segment."""
        return torch.bincount(self.own, minlength=len(self.images))

    @property
    def sums(self) -> Tensor:
        """``(K, D)`` sum of the pixels of each segment."""
        blank = self.pixels.new_zeros(len(self.images), self.pixels.shape[1])
        return blank.index_add(0, self.own, self.pixels)


def check_maps(embedding: Tensor, **maps: Tensor | None) -> None:
    """Check that maps match the embedding; None is skipped.

    Args:
        embedding: ``(B, D, *S)`` of a floating type.
        **maps: by name, ``(B, *S)`` of an integer type each.

    Raises:
        CongealError: a shape or a type does not fit.

    Example:
        >>> check_maps(torch.ones(1, 3, 4, 5), labels=torch.ones(1, 4, 5))
        Traceback (most recent call last):
        ...
        congeal.errors.CongealError: expected labels of an integer type, got torch.float32
    """
    require_tensor(embedding, "embedding")
    if not embedding.is_floating_point():
        raise CongealError(f"expected an embedding of a floating type, got {embedding.dtype}")
    for name, given in maps.items():
        if given is None:
            continue
        require_tensor(given, name)
        if embedding.ndim < 3 or embedding.shape[:1] + embedding.shape[2:] != given.shape:
            raise CongealError(
                f"expected embedding (B, D, *S) and {name} (B, *S), "
                f"got {tuple(embedding.shape)} and {tuple(given.shape)}"
            )
        _check_integers(name, given)


def _check_integers(name: str, given: Tensor) -> None:
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise CongealError(f"expected {name} of an integer type, got {given.dtype}")
    if given.numel() and int(given.min()) < -1:
        raise CongealError(f"expected {name} of at least -1 (void), got {int(given.min())}")


def _number(labels: Tensor, semantic: Tensor | None, first: int, first_class: int) -> _Numbers:
    """Number the segments of ``(B, *S)`` maps, each a label of one class in one image."""
    keep = labels >= first
    if semantic is not None:
        keep = keep & (semantic >= first_class)
    place = keep.flatten().nonzero()[:, 0]  # (N,)
    image = place // max(math.prod(labels.shape[1:]), 1)
    names, name = torch.unique(labels.long().flatten()[place], return_inverse=True)
    key = image
    kinds = names.new_zeros(1)
    if semantic is not None:
        kinds, kind = torch.unique(semantic.long().flatten()[place], return_inverse=True)
        key = image * len(kinds) + kind
    key, own = torch.unique(key * len(names) + name, return_inverse=True)
    key = key // max(len(names), 1)
    wide = max(len(kinds), 1)
    return _Numbers(place, own, key // wide, kinds[key % wide])


def gather_segments(
    embedding: Tensor,
    labels: Tensor,
    semantic: Tensor | None = None,
    *,
    background: bool = False,
    first_class: int = 0,
    blocks: int = 1,
    unit: bool = False,
) -> Segments:
    """Collect the pixels of a batch by segment: one label, of one class, in one image.

    Pixels of label or class -1, and of no segment, are left out; they get a zero gradient.

    Args:
        embedding: ``(B, D, *S)``; half precision is raised to float32.
        labels: ``(B, *S)`` int64: -1 void, 0 no segment, 1.. the segments of each image.
        semantic: ``(B, *S)`` int64 class of each pixel, -1 void; it cuts segments apart.
        background: whether label 0 is a segment like the others.
        first_class: pixels of a lower class are left out.
        blocks: into how many spaces of D / blocks channels the embedding is cut; a pixel of
            class c is read from block c - ``first_class``.
        unit: scale every pixel to length one.

    Returns:
        The pixels and their segments.

    Example:
        >>> labels = torch.tensor([[[1, 1, 0]], [[-1, 1, 7]]])
        >>> found = gather_segments(torch.ones(2, 3, 1, 3), labels)
        >>> found.own.tolist(), found.images.tolist(), found.areas.tolist()
        ([0, 0, 1, 2], [0, 1, 1], [2, 1, 1])
    """
    found = _number(labels, semantic, 0 if background else 1, first_class)
    size = math.prod(labels.shape[1:])
    cut = (len(embedding), blocks, embedding.shape[1] // blocks, size)
    table = embedding.reshape(cut).mT.flatten(0, 2)  # (B * blocks * P, D)
    row = found.place
    if blocks > 1:
        block = (found.images * blocks + found.classes - first_class)[found.own]
        row = block * size + row % size
    pixels = table if len(row) == len(table) else table[row]  # rows rise, so all means in order
    if pixels.dtype in (torch.float16, torch.bfloat16):
        pixels = pixels.float()
    if unit:
        pixels = normalise(pixels)
    return Segments(pixels, found.own, found.images, found.classes)


def intersect_segments(
    clusters: Tensor, semantic: Tensor, *, background: bool = False
) -> SegmentMap:
    """Cut clusters apart where the ground-truth class changes, and take the void away.

    What is left are the segments of SegSort (Hwang et al., ICCV 2019, section 3): each lies in one
    cluster, has one class, and its pixels need not be connected.

    Args:
        clusters: ``(B, *S)`` int64: -1 void, 0 no cluster, 1.. the clusters of each image.
        semantic: ``(B, *S)`` int64 class of each pixel (0, the background, is a class); -1 void.
        background: whether label 0 of ``clusters`` is a cluster like the others.

    Returns:
        The segments, numbered through the batch, with their classes and images.

    Raises:
        CongealError: the maps differ in shape or are not integers.

    Example:
        >>> cut = intersect_segments(torch.tensor([[1, 1, 2, 2]]), torch.tensor([[0, 3, 3, -1]]))
        >>> cut.labels.tolist(), cut.classes.tolist(), cut.images.tolist()
        ([[1, 2, 3, -1]], [0, 3, 3], [0, 0, 0])
    """
    if clusters.ndim < 2 or clusters.shape != semantic.shape:
        raise CongealError(
            "expected clusters and semantic of one shape (B, *S), "
            f"got {tuple(clusters.shape)} and {tuple(semantic.shape)}"
        )
    _check_integers("clusters", clusters)
    _check_integers("semantic", semantic)
    found = _number(clusters, semantic, 0 if background else 1, 0)
    labels = torch.where((clusters < 0) | (semantic < 0), -1, 0).flatten()
    labels[found.place] = found.own + 1
    return SegmentMap(labels.reshape(clusters.shape), found.classes, found.images)


def segment_prototypes(
    embedding: Tensor,
    segments: Tensor,
    semantic: Tensor | None = None,
    *,
    background: bool = False,
) -> SegmentPrototypes:
    """Mean direction of every segment of a batch, for a memory bank or for retrieval.

    Args:
        embedding: ``(B, D, *S)``, normalised here.
        segments: ``(B, *S)`` int64: -1 void, 0 no segment, 1.. the segments of each image.
        semantic: ``(B, *S)`` int64 class of each pixel, -1 void; it cuts segments apart.
        background: whether label 0 of ``segments`` is a segment like the others.

    Returns:
        Prototypes, classes and images, in the order of :func:`intersect_segments`.

    Raises:
        CongealError: shapes do not fit, or the maps are not integers.

    Example:
        >>> embedding = torch.tensor([[[[3.0, 1.0]], [[0.0, 1.0]]]])  # (1, 2, 1, 2)
        >>> segment_prototypes(embedding, torch.tensor([[[4, 2]]])).prototypes.round(decimals=2)
        tensor([[0.7100, 0.7100],
                [1.0000, 0.0000]])
    """
    check_maps(embedding, segments=segments, semantic=semantic)
    with torch.autocast(embedding.device.type, enabled=False):
        found = gather_segments(embedding, segments, semantic, background=background, unit=True)
        return SegmentPrototypes(normalise(found.sums), found.classes, found.images)
