"""Reading labels out of an embedding: converge, find modes, settle fragments, draw in full."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from congeal.autograd import full_precision
from congeal.errors import CongealError
from congeal.grouping.basins import UNITED, let_flow
from congeal.grouping.components import absorb_small, connect, fill_holes, split_parts
from congeal.grouping.groups import Grouping
from congeal.grouping.local_shift import local_mean_shift
from congeal.grouping.mean_shift import MeanShift
from congeal.grouping.modes import assign_to_modes, find_modes, merge_cosine, widest
from congeal.grouping.sampling import spread_indices
from congeal.sphere import concentration_from_margin, normalise

__all__ = ["ReadOut"]

Labels = NDArray[np.int64]
POINTS = 65_536  # full-resolution pixels assigned at once


@dataclass(frozen=True)
class ReadOut:
    """Turns the embedding of one image into a label map at full resolution.

    Without ``reach`` every object has a direction of its own: points (at most ``anchors``, the
    rest follow) shift to convergence over the whole image, modes are picked by decreasing mass,
    modes under the smallest size are left out, and every pixel goes to its nearest mode.

    With ``reach`` far-apart objects may share a direction, so pixels shift within the reach only
    and objects are the connected parts whose neighbours agree.

    Args:
        margin: alpha of the loss, in [0, 1): modes closer than midway to it merge.
        concentration: kappa; None derives it from the margin.
        reach: three standard deviations of the fall-off with distance, in pixels of the image.
        smallest: area in pixels under which an object is absorbed by a neighbour or dropped.
        fragment: objects under this share of the median area in the image are taken for
            fragments and absorbed or dropped too, unless the edge of the image cuts them.
        connected: split objects into connected parts (always so with ``reach``).
        holes: fill background that one object surrounds.
        anchors: most points that shift over the whole image.
        steps: most steps.
        grouping: groups the coarse pixels in place of mean shift, whose settings (``margin``,
            ``concentration``, ``reach``, ``anchors``, ``steps``) then have no part in it.

    Raises:
        CongealError: when called with shapes that do not fit.

    Example:
        >>> embedding = torch.zeros(2, 4, 4)
        >>> embedding[0, :, :2], embedding[1, :, 2:] = 1, 1
        >>> labels = ReadOut(smallest=1)(embedding, torch.ones(8, 8, dtype=torch.bool), stride=2)
        >>> labels[0].tolist()
        [1, 1, 1, 1, 2, 2, 2, 2]
    """

    margin: float = 0.5
    concentration: float | None = None
    reach: float | None = None
    smallest: float = 16.0
    fragment: float = 0.0
    connected: bool = False
    holes: bool = False
    anchors: int = 4096
    steps: int = 20
    grouping: Grouping | None = None

    @property
    def kappa(self) -> float:
        """The concentration in force."""
        if self.concentration is None:
            return concentration_from_margin(self.margin)
        return self.concentration

    def on_zoomed(self, zoom: float) -> ReadOut:
        """The same read-out for maps of an image whose zoomed version the settings are meant for.

        Example:
            >>> ReadOut(smallest=16, reach=8).on_zoomed(0.5).smallest
            64.0
        """
        reach = None if self.reach is None else self.reach / zoom
        return replace(self, reach=reach, smallest=self.smallest / zoom**2)

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
            weights: ``(H, W)`` trust in each pixel as a seed, at least 0.
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
        smallest = self.smallest / stride**2
        if self.grouping is not None:
            grouped = self.grouping.group(embedding, coarse, mass).labels
            labels = absorb_small(grouped.cpu().numpy(), smallest)
            labels = _draw_nearby(labels, embedding, mask, stride)
        elif self.reach is None:
            labels = self._read_modes(embedding, coarse, mass, mask, stride)
        else:
            labels = self._read_parts(embedding, coarse, mass, stride)
            labels = absorb_small(labels, smallest)
            labels = _draw_nearby(labels, embedding, mask, stride)
        return self._tidy(labels)

    def _read_modes(
        self, embedding: Tensor, coarse: Tensor, mass: Tensor, mask: Tensor, stride: int
    ) -> Labels:
        points, weight = embedding[:, coarse].T, mass[coarse]
        chosen = spread_indices(len(points), self.anchors, points.device)
        share = len(points) / len(chosen)
        shift, width = MeanShift(self.kappa).to(points.device), widest(self.margin, self.kappa)
        flow = let_flow(
            points[chosen],
            shift,
            weight[chosen],
            width=UNITED * width,
            steps=self.steps,
            tolerance=1e-4,
        )
        area = flow.count * (share * stride**2)  # however much each is trusted as a seed
        modes = find_modes(
            flow.rest, margin=self.margin, width=width, weights=area, smallest=self.smallest
        )
        labels = np.zeros(tuple(coarse.shape), np.int64)
        if len(modes):
            labels[coarse.cpu().numpy()] = assign_to_modes(points, modes).cpu().numpy() + 1
        return _draw_nearby(labels, embedding, mask, stride)

    def _read_parts(self, embedding: Tensor, coarse: Tensor, mass: Tensor, stride: int) -> Labels:
        assert self.reach is not None
        settled = local_mean_shift(
            embedding,
            mass,
            concentration=self.kappa,
            reach=self.reach / stride,
            steps=self.steps,
        )
        agree = merge_cosine(self.margin)
        right = (settled[:, :, 1:] * settled[:, :, :-1]).sum(0) > agree
        down = (settled[:, 1:] * settled[:, :-1]).sum(0) > agree
        return connect(coarse.cpu().numpy(), right.cpu().numpy(), down.cpu().numpy())

    def _tidy(self, labels: Labels) -> Labels:
        if self.connected or (self.reach is not None and self.grouping is None):
            labels = split_parts(labels)
        labels = absorb_small(labels, self.smallest)
        area = np.bincount(labels.ravel())[1:]
        if self.fragment and area.any():
            median = float(np.median(area[area > 0]))
            labels = absorb_small(labels, self.fragment * median, spare_edge=True)
        if self.holes:
            labels = fill_holes(labels)
        present = np.unique(labels[labels > 0])
        renamed = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
        renamed[present] = np.arange(1, len(present) + 1)
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
    mass = functional.avg_pool2d(whole[:, 1:], stride)[0, 0].clamp_min(1e-3)
    return coarse, mass * coarse


def _full_points(embedding: Tensor, rows: Tensor, columns: Tensor, stride: int) -> Tensor:
    """Embeddings at pixels of the image, ``(N, D)``, by bilinear interpolation."""
    place = torch.stack([columns, rows], -1).float()
    size = place.new_tensor([embedding.shape[2], embedding.shape[1]]) * stride
    grid = (2 * place + 1) / size - 1
    points = functional.grid_sample(
        embedding[None], grid[None, None], padding_mode="border", align_corners=False
    )
    return points[0, :, 0].T


def _draw_nearby(labels: Labels, embedding: Tensor, mask: Tensor, stride: int) -> Labels:
    """Give each pixel of the mask the best label among those around it in the coarse map."""
    drawn = np.zeros(tuple(mask.shape), np.int64)
    if not labels.any():
        return drawn
    coarse = torch.from_numpy(labels).to(embedding.device)
    count = int(coarse.max()) + 1
    sums = embedding.new_zeros(count, len(embedding))
    sums.index_add_(0, coarse.reshape(-1), embedding.flatten(1).T.contiguous())
    modes = normalise(sums, dim=1)  # (K + 1, D)
    around = functional.pad(coarse, (1, 1, 1, 1))
    rows, columns = mask.nonzero(as_tuple=True)
    for y, x in zip(rows.split(POINTS), columns.split(POINTS), strict=True):
        points = _full_points(embedding, y, x, stride)
        best = _best_nearby(points, modes, around, y // stride, x // stride)
        drawn[y.cpu().numpy(), x.cpu().numpy()] = best.cpu().numpy()
    return drawn


def _best_nearby(
    points: Tensor, modes: Tensor, around: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    best = points.new_full((len(points),), -torch.inf)
    label = torch.zeros_like(rows)
    for down in range(3):
        for right in range(3):
            candidate = around[rows + down, columns + right]
            similarity = (points * modes[candidate]).sum(1)
            better = (similarity > best) & (candidate > 0)
            best = torch.where(better, similarity, best)
            label = torch.where(better, candidate, label)
    return label
