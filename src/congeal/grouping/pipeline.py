"""The grouping pipeline on the sphere: sample, shift, assign, prune.

:func:`group_pixels` serves :class:`congeal.grouping.MeanShift`, the proposals and the decoding of
methods. Its stages are in ``windows.py`` where the kernel falls off with distance (a radius), and
in ``everywhere.py`` where it does not. The page "Grouping on the sphere" has a diagram and costs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from congeal.grouping.components import absorb_small, split_parts
from congeal.grouping.everywhere import group_everywhere
from congeal.grouping.groups import Groups, groups_from_labels
from congeal.grouping.modes import Shifting
from congeal.grouping.windows import assign_around, join_cells, sample_cells, shift_cells
from congeal.sphere import normalise

__all__ = ["group_pixels"]

SQUARED_LENGTH_ERROR = 1e-5  # tolerance of unit vectors
MIN_MASS = 1e-6  # used for pixels of mass 0: they are grouped, but hardly attract others


@torch.no_grad()
def group_pixels(
    embedding: Tensor,
    mask: Tensor,
    mass: Tensor,
    *,
    shift: Shifting,
    margin: float,
    kernel_radius: float | None = None,
    anchors: int = 1024,
    min_area: float = 8.0,
    steps: int = 20,
) -> Groups:
    """Group the pixels of a map by the modes that they converge to.

    Args:
        embedding: ``(D, *S)`` finite, float32 or float64, normalised here.
        mask: ``(*S)`` bool, the pixels to group.
        mass: ``(*S)`` of each pixel, at least 0.
        shift: the kernel and its step.
        margin: alpha; modes, or neighbours, whose cosine is above it are one.
        kernel_radius: three standard deviations of the fall-off with distance, in pixels of the
            map; None: the kernel does not depend on the distance.
        anchors: without a radius, points that shift; maps of fewer pixels shift whole.
        min_area: groups of fewer pixels are dissolved into their neighbours.
        steps: at most.

    Returns:
        The groups, largest first. The score of a group is the mean cosine of its pixels to its
        prototype.

    Example:
        >>> from congeal.grouping import MeanShift
        >>> embedding = torch.zeros(2, 4, 8)
        >>> embedding[0, :, :6], embedding[1, :, 6:] = 1, 1
        >>> everywhere = torch.ones(4, 8)
        >>> groups = group_pixels(
        ...     embedding, everywhere > 0, everywhere, shift=MeanShift(), margin=0.5, min_area=4
        ... )
        >>> groups.labels[0].tolist()
        [1, 1, 1, 1, 1, 1, 2, 2]
    """
    unit = _as_unit(embedding)
    mass = mass.clamp_min(MIN_MASS) * mask
    if not bool(mask.any()):
        labels = torch.zeros(mask.shape, dtype=torch.int64, device=unit.device)
    elif kernel_radius is None:
        labels = group_everywhere(unit, mask, mass, shift, margin, anchors, min_area, steps)
    else:
        labels = _group_nearby(unit, mask, mass, shift, margin, kernel_radius / 3, steps)
        labels = _prune(labels, min_area)
    return _as_groups(labels, unit)


def _group_nearby(
    unit: Tensor,
    mask: Tensor,
    mass: Tensor,
    shift: Shifting,
    margin: float,
    sigma: float,
    steps: int,
) -> Tensor:
    """``(*S)`` labels by a kernel that falls off with distance."""
    cells = sample_cells(unit, mass, sigma, margin)
    settled = shift_cells(
        cells,
        concentration=float(shift.concentration),
        margin=margin,
        sigma=sigma,
        eta=shift.eta,
        steps=steps,
    )
    groups = join_cells(settled, cells.mass, margin)
    flat, at = unit.flatten(1), mask.flatten().nonzero()[:, 0]
    labels = torch.zeros(mask.numel(), dtype=torch.int64, device=unit.device)
    labels[at] = assign_around(
        groups, settled, mask.nonzero(), cells.side, lambda some: flat[:, at[some]].T
    )
    return labels.view(mask.shape)


def _prune(labels: Tensor, min_area: float) -> Tensor:
    """Split what a gap parts; join small groups to the one they touch most.

    Cells of 3 pixels may be neighbours over a gap of one. The largest group stays, whatever its
    size.
    """
    parts = split_parts(labels.cpu().numpy())
    least = min(min_area, float(np.bincount(parts.ravel())[1:].max(initial=0)))
    return torch.from_numpy(absorb_small(parts, least)).to(labels.device)


def _as_unit(embedding: Tensor) -> Tensor:
    """``(D, *S)`` unit vectors; those of a network mostly are, and are not written again."""
    square = torch.zeros_like(embedding[0])
    for plane in embedding:  # a plane at a time stays in a cache
        square.addcmul_(plane, plane)
    off = (square - 1).abs()
    if bool(((off < SQUARED_LENGTH_ERROR) | (square == 0)).all()):
        return embedding
    return normalise(embedding, dim=0)


def _as_groups(labels: Tensor, unit: Tensor) -> Groups:
    """The groups of a label map; the score is the length of the mean, the mean cosine to it."""
    means = groups_from_labels(labels, unit, unit=False)
    scores = torch.linalg.vector_norm(means.prototypes, dim=1).clamp(0, 1)
    return replace(means, prototypes=normalise(means.prototypes, dim=1), scores=scores)
