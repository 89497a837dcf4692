"""Pictures of embedding and semantic map, for reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from congeal.figures.display import RGB, sphere_rgb
from congeal.figures.maps import overlay_classes
from congeal.methods.maps import MapPrediction

__all__ = ["draw_embedding", "draw_steps"]

CLASS_TINT = 0.5  # opacity of the colours of classes


def draw_embedding(embedding: Tensor) -> RGB:
    """Show an embedding as colours, by the same random projection for all images.

    Args:
        embedding: ``(D, h, w)`` unit vectors.

    Example:
        >>> import torch
        >>> draw_embedding(torch.ones(4, 5, 6) / 2).shape
        (5, 6, 3)
    """
    return sphere_rgb(embedding.float().cpu().numpy())


def draw_steps(image: NDArray[Any], maps: MapPrediction) -> Iterator[tuple[str, RGB]]:
    """The embedding as colours, then the semantic map over the image.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``.
        maps: ``embedding (D, h, w)`` and logits ``semantic (C + 1, H, W)``, padded on the right
            and at the bottom.

    Example:
        >>> import numpy as np, torch
        >>> maps = {"embedding": torch.ones(4, 4, 4) / 2, "semantic": torch.zeros(2, 8, 8)}
        >>> [name for name, _ in draw_steps(np.zeros((7, 8)), MapPrediction(maps, (7, 8), 2))]
        ['embedding', 'semantic map']
    """
    height, width = maps.size
    rows, columns = -(-height // maps.stride), -(-width // maps.stride)
    yield "embedding", draw_embedding(maps.maps["embedding"][:, :rows, :columns])
    classes = maps.maps["semantic"][:, :height, :width].argmax(0).cpu().numpy()
    shown = image[..., :3] if image.ndim == 3 else image
    yield "semantic map", overlay_classes(shown, classes, CLASS_TINT)
