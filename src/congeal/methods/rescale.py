"""Maps of a rescaled image, resampled to the pixels of the image itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["resample_embedding", "resample_map"]


def resample_map(part: Tensor, seen: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Lay a map that a network gave at the size of its input over the image, in float32.

    Args:
        part: ``(B, C, h, w)``; padding is at the right and below.
        seen: height and width of the image as the network saw it, less padding.
        size: of the image itself.

    Returns:
        ``(B, C, *size)``.

    Example:
        >>> tuple(resample_map(torch.zeros(1, 2, 32, 32), (30, 32), (60, 64)).shape)
        (1, 2, 60, 64)
    """
    inside = part[..., : seen[0], : seen[1]].float()
    laid: Tensor = functional.interpolate(inside, size=size, mode="bilinear", align_corners=False)
    return laid


def resample_embedding(
    embedding: Tensor, seen: tuple[int, int], size: tuple[int, int], stride: int
) -> tuple[Tensor, int]:
    """Lay an embedding over the image, on the grid of whole pixels nearest to its own.

    So the embedding gets no larger than it has to be.

    Args:
        embedding: ``(B, D, h, w)``; padding is at the right and below.
        seen: height and width of the image as the network saw it, less padding.
        size: of the image itself.
        stride: of the embedding, in pixels of what the network saw.

    Returns:
        The embedding in float32, and its stride in pixels of the image.

    Example:
        >>> laid, stride = resample_embedding(torch.ones(1, 4, 16, 16), (30, 32), (60, 64), 2)
        >>> tuple(laid.shape), stride
        ((1, 4, 15, 16), 4)
    """
    whole = max(1, round(stride * max(size) / max(seen)))
    return _resample(embedding.float(), seen, size, stride, whole), whole


def _resample(
    embedding: Tensor, seen: tuple[int, int], size: tuple[int, int], stride: int, whole: int
) -> Tensor:
    """Interpolate an embedding ``(B, D, h, w)`` at the middles of blocks of the image."""
    at = []
    for length, of_seen, cells in zip(size, seen, embedding.shape[2:], strict=True):
        middle = (torch.arange(-(-length // whole), device=embedding.device) + 0.5) * whole
        at.append(middle * (2 * of_seen / (length * stride * cells)) - 1)
    rows, columns = torch.meshgrid(*at, indexing="ij")
    grid = torch.stack([columns, rows], -1).to(embedding.dtype)
    found: Tensor = functional.grid_sample(
        embedding,
        grid.expand(len(embedding), -1, -1, -1),
        padding_mode="border",
        align_corners=False,
    )
    return found
