"""Regions from a boundary map: oriented watershed, ultrametric contours (Arbelaez et al., 2011).

Flow: boundary map -> watershed -> arcs weighted by orientation -> merging of regions by the mean
weight of their common boundary -> :class:`RegionHierarchy` -> segments or a contour map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import DisjointSet, fcluster
from scipy.io import savemat
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude, label, sobel
from scipy.spatial import cKDTree
from skimage.color import rgb2lab
from skimage.graph import RAG, merge_hierarchical
from skimage.segmentation import watershed

from congeal.errors import CongealError
from congeal.files import atomic_path

__all__ = [
    "RegionHierarchy",
    "gradient_boundary",
    "hierarchy_of_contours",
    "region_hierarchy",
    "save_contours",
]

ARC_RADIUS = 3.5  # px of an arc, on both sides of an edge, that determine its direction
TENSOR_SIGMA = 2.0  # px over which the direction of the boundary map is averaged
EDGES = ((0, np.s_[2:-1:2, 1::2]), (1, np.s_[1::2, 2:-1:2]))  # by axis, in a contour map
FLAT = 1e-3  # share of the range below which a minimum of the boundary map starts no region
GRADIENT_SIGMA = 2.0  # px over which an image is smoothed before its gradient
GRADIENT_SCALE = 6.0  # Lab units a pixel that make a strength of 1 - 1/e

Labels = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RegionHierarchy:
    """Regions of an image, and the boundary strength at which they merge.

    Attributes:
        regions: ``(H, W)`` int64, the finest regions 1..n.
        merges: ``(n - 1, 4)`` a linkage matrix as in SciPy: the two that merge, the strength,
            [0, 1], and the number of finest regions. The strength never falls.

    Example:
        >>> line = np.zeros((6, 9))
        >>> line[:, 4] = 0.8
        >>> found = region_hierarchy(line)
        >>> [int(found.segments(cut).max()) for cut in (0.5, 0.9)], found.contours().shape
        ([2, 1], (13, 19))
    """

    regions: Labels
    merges: Values

    def __len__(self) -> int:
        """Number of finest regions."""
        return len(self.merges) + 1

    def segments(self, threshold: float) -> Labels:
        """``(H, W)`` int64, 1..K: regions joined across boundaries of at most this strength.

        Segmentations are nested: those of a higher threshold join those of a lower one.
        """
        if len(self) == 1:
            return np.ones_like(self.regions)
        joined = fcluster(self.merges, threshold, criterion="distance")  # (n,) 1..K
        _, number = np.unique(joined, return_inverse=True)
        return np.asarray(number[self.regions - 1] + 1, np.int64)

    def cut_into(self, count: int) -> Labels:
        """The segmentation with at most ``count`` segments, joined across the weakest boundaries.

        Raises:
            CongealError: ``count`` is below 1.
        """
        if count < 1:
            raise CongealError(f"expected at least 1 segment, got {count}")
        first = len(self) - 1 - count  # the last merge that has to be made
        return self.segments(-1.0 if first < 0 else float(self.merges[first, 2]))

    def contours(self) -> Values:
        """The ultrametric contour map ``(2 H + 1, 2 W + 1)``, as the benchmark's files hold it.

        Pixels lie at odd places; between two of them is the strength at which their regions join.
        :func:`congeal.metrics.segments_from_contours` cuts it.
        """
        height, width = self.regions.shape
        contours = np.zeros((2 * height + 1, 2 * width + 1))
        parent, strength = self._tree()
        for along, place in EDGES:
            one, other = _sides(self.regions - 1, along)
            contours[place] = strength[_common(one.ravel(), other.ravel(), parent)].reshape(
                one.shape
            )
        padded = np.pad(contours, 1)
        corners = [padded[:-2:2, 1::2], padded[2::2, 1::2], padded[1::2, :-2:2], padded[1::2, 2::2]]
        contours[::2, ::2] = np.max(corners, axis=0)
        return contours

    def boundary(self) -> Values:
        """The contours at the size of the image ``(H, W)``, as the benchmark scores them."""
        return self.contours()[2::2, 2::2]

    def save(self, path: str | Path) -> Path:
        """Write the contour map as ``ucm2`` of a MATLAB file, as the Berkeley benchmark does.

        Raises:
            CongealError: the file cannot be written.
        """
        return save_contours(self.contours(), path)

    def _tree(self) -> tuple[Labels, Values]:
        """Parent of each region and merge (the last its own), and the strength of each."""
        count = len(self)
        parent = np.full(2 * count - 1, 2 * count - 2, np.int64)
        for number, (one, other) in enumerate(self.merges[:, :2].astype(np.int64)):
            parent[[one, other]] = count + number
        return parent, np.concatenate([np.zeros(count), self.merges[:, 2]])


def save_contours(contours: ArrayLike, path: str | Path) -> Path:
    """Write a contour map ``(2 H + 1, 2 W + 1)`` as ``ucm2`` of a MATLAB file.

    Raises:
        CongealError: the file cannot be written.
    """
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        savemat(file, {"ucm2": np.asarray(contours, np.float64)}, do_compression=True)
    return Path(path)


def hierarchy_of_contours(contours: ArrayLike) -> RegionHierarchy:
    """Find the regions and merges that a contour map ``(2 H + 1, 2 W + 1)`` was made of.

    Example:
        >>> line = np.zeros((6, 9))
        >>> line[:, 4] = 0.8
        >>> made = region_hierarchy(line).contours()
        >>> bool((hierarchy_of_contours(made).contours() == made).all())
        True
    """
    lines = np.asarray(contours, np.float64)
    inside = lines <= 0
    inside[1::2, 1::2], inside[::2, ::2] = True, False
    regions = np.asarray(label(inside)[0][1::2, 1::2], np.int64)
    pairs, strengths = [], []
    for along, place in EDGES:
        one, other = _sides(regions - 1, along)
        apart = one != other
        pairs.append(np.sort(np.stack([one[apart], other[apart]], 1), axis=1))
        strengths.append(lines[place][apart])
    found, where = np.unique(np.concatenate(pairs), axis=0, return_inverse=True)
    least = np.full(len(found), np.inf)
    np.minimum.at(least, where.reshape(-1), np.concatenate(strengths))
    return RegionHierarchy(regions, _join_weakest(found, least, int(regions.max())))


def _join_weakest(pairs: Labels, strength: Values, count: int) -> Values:
    """The linkage matrix of joining regions over the weakest edge first."""
    joined, cluster = DisjointSet(range(count)), list(range(count))  # cluster: of each root
    merges = list[tuple[float, ...]]()
    for at in np.argsort(strength, kind="stable").tolist():
        one, other = (joined[int(region)] for region in pairs[at])
        if joined.merge(one, other):
            root, low, high = joined[one], *sorted((cluster[one], cluster[other]))
            cluster[root] = count + len(merges)
            merges.append((low, high, float(strength[at]), joined.subset_size(root)))
    return np.array(merges, np.float64).reshape(-1, 4)


def region_hierarchy(boundary: ArrayLike) -> RegionHierarchy:
    """Find regions by the oriented watershed of a boundary map and merge them (OWT-UCM).

    The watershed of the map gives the finest regions. A piece of boundary between two of them
    counts by its strength times the cosine between its own direction and that of the map there,
    so that pieces which cross a ridge are weak. Then the two regions whose common boundary is
    weakest on average merge, until one region is left.

    Args:
        boundary: strength ``(H, W)``, [0, 1], of any origin: a network, a gradient, a drawing.

    Raises:
        CongealError: the map has another shape, no pixel, or values outside [0, 1].

    Source:
        Arbelaez, Maire, Fowlkes, Malik, Contour detection and hierarchical image segmentation,
        TPAMI 2011, section 4. Directions are those of the structure tensor of the map.
    """
    strength = np.asarray(boundary, np.float64)
    if strength.ndim != 2 or not strength.size:
        raise CongealError(f"expected a boundary map (H, W), got shape {strength.shape}")
    if not ((strength >= 0) & (strength <= 1)).all():  # NaN fails both
        raise CongealError(
            f"expected a boundary map in 0 to 1, got {strength.min()} to {strength.max()}"
        )
    regions = _watershed(strength)
    if regions.max() == 1:
        return RegionHierarchy(regions, np.zeros((0, 4)))
    graph = _region_graph(regions, *_arcs(regions - 1, strength))
    return RegionHierarchy(regions, _merge(graph, regions))


def _watershed(strength: Values) -> Labels:
    """Regions 1..n; minima within FLAT of each other are one region."""
    levels = np.floor(strength / FLAT)
    if levels.min() == levels.max():
        return np.ones(levels.shape, np.int64)
    if min(levels.shape) == 1:  # scikit-image drops such an axis
        flood = watershed(levels.repeat(2, 0).repeat(2, 1))[::2, ::2]
        return np.unique(flood, return_inverse=True)[1].reshape(flood.shape).astype(np.int64) + 1
    return np.asarray(watershed(levels), np.int64)


def _sides(regions: Labels, along: int) -> tuple[Labels, Labels]:
    """Values before and behind each edge between pixels along an axis."""
    if along == 0:
        return regions[:-1], regions[1:]
    return regions[:, :-1], regions[:, 1:]


def _arcs(regions: Labels, strength: Values) -> tuple[Labels, Values, Values]:
    """The pairs of regions that touch ``(A, 2)``, mean strength and length of their boundary."""
    slope_y, slope_x = sobel(strength, 0), sobel(strength, 1)
    products = (slope_y * slope_y, slope_y * slope_x, slope_x * slope_x)
    tensor = [gaussian_filter(one, TENSOR_SIGMA) for one in products]  # yy, yx, xx
    rows = [_edges(regions, strength, tensor, along) for along in (0, 1)]
    pair, place, flat, seen, slope = (np.concatenate(column) for column in zip(*rows, strict=True))
    if not len(pair):
        return pair, np.zeros(0), np.zeros(0)
    pairs, arc = np.unique(pair, axis=0, return_inverse=True)
    arc = arc.reshape(-1)
    tangent = _double_angle(*_spread(place, arc, flat))
    normal = _double_angle(*slope.T)
    across = np.abs(np.sin((tangent - normal) / 2))  # cosine to the direction of the ridge
    length = np.bincount(arc).astype(float)
    return pairs, np.bincount(arc, seen * across) / length, length


def _edges(regions: Labels, strength: Values, tensor: list[Values], along: int) -> tuple[Any, ...]:
    """Edges between pixels of two regions: which, where, along which axis, how strong, tensor."""
    one, other = _sides(regions, along)
    y, x = np.nonzero(one != other)
    before, behind = (y, x), (y + (along == 0), x + (along == 1))
    pair = np.sort(np.stack([regions[before], regions[behind]], 1), axis=1)
    place = np.stack([(before[i] + behind[i]) / 2 for i in (0, 1)], 1)
    flat = np.tile([float(along == 1), float(along == 0)], (len(y), 1))  # the edge's own y and x
    seen = np.maximum(strength[before], strength[behind])
    mean = np.stack([part[before] + part[behind] for part in tensor], 1)
    return pair, place, flat, seen, mean


def _spread(place: Values, arc: Labels, flat: Values) -> tuple[Values, Values, Values]:
    """Second moments yy, yx, xx of the edges of the same arc around each edge."""
    near = cKDTree(place).query_pairs(ARC_RADIUS, output_type="ndarray")
    near = near[arc[near[:, 0]] == arc[near[:, 1]]]
    step = place[near[:, 0]] - place[near[:, 1]]
    both = near.ravel()

    def total(own: Values, product: Values) -> Values:
        found: Values = own + np.bincount(both, np.repeat(product, 2), len(place))
        return found

    return (
        total(flat[:, 0], step[:, 0] ** 2),
        total(0 * flat[:, 0], step[:, 0] * step[:, 1]),
        total(flat[:, 1], step[:, 1] ** 2),
    )


def _double_angle(yy: Values, yx: Values, xx: Values) -> Values:
    """Twice the angle of the main axis of symmetric tensors."""
    return np.asarray(np.arctan2(2 * yx, xx - yy))


def _region_graph(regions: Labels, pairs: Labels, mean: Values, length: Values) -> RAG:
    graph = RAG()
    graph.add_nodes_from((node, {"labels": [node]}) for node in range(int(regions.max())))
    for (one, other), weight, count in zip(
        pairs.tolist(), mean.tolist(), length.tolist(), strict=True
    ):
        graph.add_edge(one, other, weight=weight, count=count)
    return graph


def _merge(graph: RAG, regions: Labels) -> Values:
    """The linkage matrix of merging the regions with the weakest common boundary first."""
    count = graph.number_of_nodes()
    number, size = list(range(count)), [1] * count  # of the cluster that each node stands for
    merges: list[tuple[float, ...]] = []

    def note(rag: RAG, gone: int, kept: int) -> None:
        strength = max(rag[gone][kept]["weight"], merges[-1][2] if merges else 0.0)
        size[kept] += size[gone]
        merges.append((*sorted((number[gone], number[kept])), strength, size[kept]))
        number[kept] = count + len(merges) - 1

    merge_hierarchical(
        regions - 1, graph, np.inf, rag_copy=False, in_place_merge=True,
        merge_func=note, weight_func=_mean_weight,
    )  # fmt: skip
    return np.array(merges, np.float64).reshape(-1, 4)


def _mean_weight(graph: RAG, gone: int, kept: int, node: int) -> dict[str, float]:
    """Strength of the boundary to a neighbour of two regions that join."""
    parts = [graph[one][node] for one in (gone, kept) if graph.has_edge(one, node)]
    count = sum(part["count"] for part in parts)
    return {"weight": sum(p["count"] * p["weight"] for p in parts) / count, "count": count}


def _common(one: Labels, other: Labels, parent: Labels) -> Labels:
    """The smallest merge that holds both; a parent has a larger number than its children."""
    pairs, where = np.unique(np.stack([one, other], 1), axis=0, return_inverse=True)
    low, high = pairs.min(1), pairs.max(1)
    while (apart := low != high).any():
        step = np.where(apart, parent[low], low)
        low, high = np.minimum(step, high), np.maximum(step, high)
    return np.asarray(low[where.reshape(-1)])


def gradient_boundary(image: ArrayLike) -> Values:
    """A boundary map from the colour gradient, if no better map is available.

    Args:
        image: ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``, [0, 1].

    Returns:
        ``(H, W)`` strength, [0, 1): 1 - exp(-g / G), with g the length of the gradient of the
        smoothed image in CIE Lab (gray: lightness alone).

    Raises:
        CongealError: the array is no image.

    Example:
        >>> step = np.zeros((9, 20))
        >>> step[:, 10:] = 1
        >>> int(gradient_boundary(step)[4].argmax()) in (9, 10)
        True
    """
    pixels = np.asarray(image, np.float64)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise CongealError(f"expected an image (H, W[, 3]), got shape {np.shape(image)}")
    lab = rgb2lab(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).clip(0, 1))
    steps = [gaussian_gradient_magnitude(lab[..., c], GRADIENT_SIGMA) for c in range(3)]
    strength: Values = 1 - np.exp(-np.linalg.norm(steps, axis=0) / GRADIENT_SCALE)
    return strength
