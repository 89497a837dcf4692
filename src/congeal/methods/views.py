"""An image looked at from several sides: turned and mirrored, and what is seen put together."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from congeal.networks.embedding import EmbeddingOutput

__all__ = ["VIEWS", "look"]

# Quarter turns, and whether mirrored before; by how many views.
VIEWS = {
    1: ((0, False),),
    2: ((0, False), (2, True)),
    4: ((0, False), (1, False), (2, True), (3, True)),
    8: tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4)),
}
LEAST = 1e-6  # probability that a logit is made of


def look(
    network: Callable[[Tensor], EmbeddingOutput], image: Tensor, views: int = 1
) -> EmbeddingOutput:
    """Show a network the image turned and mirrored, and put together what it says.

    Embeddings of different views have nothing to do with each other, but similarities have: the
    vectors of a pixel are laid one after the other, over the root of their number, so that the
    cosine of two pixels is the mean of their cosines in each view. Probabilities are averaged.
    With all eight views the result turns as the image does.

    Args:
        network: gives an :class:`EmbeddingOutput`.
        image: ``(B, 3, H, W)``, sides divisible as the network asks.
        views: 1, 2, 4 or 8; the network runs as often.

    Returns:
        An embedding ``(B, views D, h, w)`` of unit vectors, and the maps ``(B, *, H, W)``.

    Example:
        >>> from congeal import RPE
        >>> model = RPE(dimensions=4).eval()
        >>> [tuple(part.shape) for part in look(model, torch.rand(1, 3, 32, 64), views=4)]
        [(1, 16, 16, 32), (1, 2, 32, 64), (1, 1, 32, 64)]
    """
    if views == 1:
        return network(image)
    seen = []
    for turns, mirrored in VIEWS[views]:
        shown = _turn(image, turns, mirrored).contiguous(memory_format=torch.channels_last)
        seen.append([_turn_back(part, turns, mirrored) for part in network(shown)])
    embedding, semantic, touching = zip(*seen, strict=True)
    return EmbeddingOutput(
        torch.cat(embedding, 1) / math.sqrt(views),
        torch.stack([logits.softmax(1) for logits in semantic]).mean(0).clamp_min(LEAST).log(),
        torch.stack([logits.sigmoid() for logits in touching]).mean(0).logit(LEAST),
    )


def _turn(image: Tensor, turns: int, mirrored: bool) -> Tensor:
    return torch.rot90(image.flip(-1) if mirrored else image, turns, (-2, -1))


def _turn_back(image: Tensor, turns: int, mirrored: bool) -> Tensor:
    turned = torch.rot90(image, -turns, (-2, -1))
    return turned.flip(-1) if mirrored else turned
