"""Test-time augmentation: average of predictions for a rotated and mirrored image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from congeal.networks.embedding import EmbeddingOutput

__all__ = ["ORIENTATIONS", "augmented_prediction"]

# By number of orientations: quarter turns, and whether the image is mirrored first.
ORIENTATIONS = {
    1: ((0, False),),
    2: ((0, False), (2, True)),
    4: ((0, False), (1, False), (2, True), (3, True)),
    8: tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4)),
}
MIN_PROBABILITY = 1e-6  # lower bound of probabilities before they are converted to logits


def augmented_prediction(
    network: Callable[[Tensor], EmbeddingOutput], image: Tensor, tta: int = 1
) -> EmbeddingOutput:
    """Average predictions over several orientations of an image.

    Embeddings of different orientations are not comparable, but cosines are: the vectors of a pixel
    are concatenated and divided by sqrt(tta), so that the cosine of two pixels is the mean of their
    cosines. Probabilities are averaged; features are concatenated. With all eight orientations the
    result is equivariant to rotation by 90 degrees and mirroring.

    Args:
        network: returns an :class:`EmbeddingOutput`.
        image: ``(B, 3, H, W)``, sides divisible as required by the network.
        tta: number of orientations: 1, 2, 4 or 8; the network runs once per orientation.

    Returns:
        An embedding ``(B, tta * D, h, w)`` of unit vectors, and the maps ``(B, *, H, W)``.

    Example:
        >>> from congeal import RPE
        >>> model = RPE(dimensions=4).eval()
        >>> output = augmented_prediction(model, torch.rand(1, 3, 32, 64), 4)
        >>> [tuple(part.shape) for part in output.maps().values()]
        [(1, 16, 16, 32), (1, 2, 32, 64), (1, 1, 32, 64)]
    """
    if tta == 1:
        return network(image)
    orientations = []
    for turns, mirrored in ORIENTATIONS[tta]:
        turned_image = _turn(image, turns, mirrored).contiguous(memory_format=torch.channels_last)
        maps = network(turned_image).maps()
        orientations.append(
            {name: _turn_back(part, turns, mirrored) for name, part in maps.items()}
        )
    embedding, semantic, touching, *features = (
        [maps[name] for maps in orientations] for name in orientations[0]
    )
    return EmbeddingOutput(
        torch.cat(embedding, 1) / math.sqrt(tta),
        torch.stack([logits.softmax(1) for logits in semantic])
        .mean(0)
        .clamp_min(MIN_PROBABILITY)
        .log(),
        torch.stack([logits.sigmoid() for logits in touching]).mean(0).logit(MIN_PROBABILITY),
        torch.cat(features[0], 1) if features else None,
    )


def _turn(image: Tensor, turns: int, mirrored: bool) -> Tensor:
    return torch.rot90(image.flip(-1) if mirrored else image, turns, (-2, -1))


def _turn_back(image: Tensor, turns: int, mirrored: bool) -> Tensor:
    turned = torch.rot90(image, -turns, (-2, -1))
    return turned.flip(-1) if mirrored else turned
