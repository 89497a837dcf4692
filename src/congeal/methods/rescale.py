"""Resampling of maps from the scale of the network's input to the size of the image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["resample_embedding", "resample_map"]


def resample_map(map_: Tensor, input_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Resample a map at the resolution of the network's input to the size of the image.

    Args:
        map_: ``(B, C, h, w)``, padded on the right and below.
        input_size: height and width of the scaled image, without padding.
        size: height and width of the image.

    Returns:
        ``(B, C, *size)`` float32, by bilinear interpolation.

    Example:
        >>> tuple(resample_map(torch.zeros(1, 2, 32, 32), (30, 32), (60, 64)).shape)
        (1, 2, 60, 64)
    """
    inside = map_[..., : input_size[0], : input_size[1]].float()
    resampled: Tensor = functional.interpolate(
        inside, size=size, mode="bilinear", align_corners=False
    )
    return resampled


def resample_embedding(
    embedding: Tensor, input_size: tuple[int, int], size: tuple[int, int], stride: int
) -> tuple[Tensor, int]:
    """Resample an embedding to a grid on the image with the nearest whole stride.

    The resolution stays about the same, so the embedding does not grow with the image.

    Args:
        embedding: ``(B, D, h, w)``, padded on the right and below.
        input_size: height and width of the scaled image, without padding.
        size: height and width of the image.
        stride: stride of the embedding in pixels of the scaled image.

    Returns:
        The embedding ``(B, D, ceil(H / s), ceil(W / s))`` float32, and its stride s in pixels of
        the image.

    Example:
        >>> found, stride = resample_embedding(torch.ones(1, 4, 16, 16), (30, 32), (60, 64), 2)
        >>> tuple(found.shape), stride
        ((1, 4, 15, 16), 4)
    """
    image_stride = max(1, round(stride * max(size) / max(input_size)))
    resampled = _resample(embedding.float(), input_size, size, stride, image_stride)
    return resampled, image_stride


def _resample(
    embedding: Tensor,
    input_size: tuple[int, int],
    size: tuple[int, int],
    stride: int,
    image_stride: int,
) -> Tensor:
    """Interpolate ``(B, D, h, w)`` at the centres of blocks of ``image_stride`` pixels."""
    axes = []
    for length, input_length, points in zip(size, input_size, embedding.shape[2:], strict=True):
        blocks = torch.arange(-(-length // image_stride), device=embedding.device)
        centre = (blocks + 0.5) * image_stride
        axes.append(centre * (2 * input_length / (length * stride * points)) - 1)
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([columns, rows], -1).to(embedding.dtype)
    resampled: Tensor = functional.grid_sample(
        embedding,
        grid.expand(len(embedding), -1, -1, -1),
        padding_mode="border",
        align_corners=False,
    )
    return resampled
