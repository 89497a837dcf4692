"""Maps of a rescaled image, resampled to the pixels of the image itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from congeal.networks.embedding import EmbeddingOutput
from congeal.sphere import normalise

__all__ = ["unscale"]


def unscale(
    output: EmbeddingOutput, seen: tuple[int, int], size: tuple[int, int], stride: int
) -> tuple[EmbeddingOutput, int]:
    """Lay embedding and maps of a zoomed image over the image.

    The embedding goes to the grid of whole pixels that is nearest to its own, so that it gets no
    larger than it has to be; the maps go to full resolution.

    Args:
        output: of a network, for one or several images; padding is at the right and below.
        seen: height and width of the image as the network saw it, less padding.
        size: of the image itself.
        stride: of the embedding, in pixels of what the network saw.

    Returns:
        The output, its maps ``(B, *, *size)``, and the stride of its embedding in pixels of the
        image.

    Example:
        >>> maps = torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)
        >>> output, stride = unscale(
        ...     EmbeddingOutput(torch.ones(1, 4, 16, 16), *maps), (30, 32), (60, 64), stride=2
        ... )
        >>> [tuple(part.shape) for part in output], stride
        ([(1, 4, 15, 16), (1, 2, 60, 64), (1, 1, 60, 64)], 4)
    """
    whole = max(1, round(stride * max(size) / max(seen)))
    maps = (
        functional.interpolate(
            part[..., : seen[0], : seen[1]].float(),
            size=size,
            mode="bilinear",
            align_corners=False,
        )
        for part in output[1:]
    )
    embedding = _resample(output.embedding.float(), seen, size, stride, whole)
    return EmbeddingOutput(normalise(embedding, dim=1), *maps), whole


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
