"""Resampling of the output of RPE for a rescaled image to the original image."""

from __future__ import annotations

from congeal.methods.rescale import resample_embedding, resample_map
from congeal.networks.embedding import EmbeddingOutput
from congeal.sphere import normalise

__all__ = ["unscale"]


def unscale(
    output: EmbeddingOutput, scaled: tuple[int, int], size: tuple[int, int], stride: int
) -> tuple[EmbeddingOutput, int]:
    """Resample the output for a scaled image to the original image.

    Embedding and features are resampled to the nearest integer stride in original pixels, so that
    they do not grow more than necessary; maps are resampled to full resolution.

    Args:
        output: network output of one or several images, padded on the right and at the bottom.
        scaled: height and width of the scaled image, without padding.
        size: height and width of the original image.
        stride: stride of the embedding in pixels of the scaled image.

    Returns:
        The output with maps ``(B, *, *size)``, and the stride of its embedding in pixels of the
        original image.

    Example:
        >>> import torch
        >>> maps = torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)
        >>> output, stride = unscale(
        ...     EmbeddingOutput(torch.ones(1, 4, 16, 16), *maps), (30, 32), (60, 64), stride=2
        ... )
        >>> [tuple(part.shape) for part in output.maps().values()], stride
        ([(1, 4, 15, 16), (1, 2, 60, 64), (1, 1, 60, 64)], 4)
    """
    maps = [resample_map(part, scaled, size) for part in (output.semantic, output.touching)]
    embedding, whole = resample_embedding(output.embedding, scaled, size, stride)
    features = output.features
    if features is not None:
        features = resample_embedding(features, scaled, size, stride)[0]
    return EmbeddingOutput(normalise(embedding, dim=1), maps[0], maps[1], features), whole
