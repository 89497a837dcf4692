"""Chance of a training step, image by image: the same however a batch is divided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

__all__ = ["ImageChance", "chance_of", "image_noise"]


class ImageChance(torch.Generator):
    """A generator for a batch that also holds one for each of its images.

    What is drawn for an image follows from the image's own generator, so replicas and processes
    that share a batch draw what one would have drawn alone.

    Args:
        seed: of draws that are no image's.
        images: a CPU generator for each image of the batch.

    Example:
        >>> chance = ImageChance(0, [torch.Generator().manual_seed(seed) for seed in (1, 2)])
        >>> second = chance_of(chance, 1)
        >>> bool(
        ...     torch.rand((), generator=second) == torch.rand((), generator=second.manual_seed(2))
        ... )
        True
    """

    images: tuple[torch.Generator, ...]

    def __new__(cls, seed: int, images: Sequence[torch.Generator]) -> Self:
        """A generator on the CPU."""
        del seed, images
        return super().__new__(cls)

    def __init__(self, seed: int, images: Sequence[torch.Generator]) -> None:
        self.manual_seed(seed)
        self.images = tuple(images)


def chance_of(generator: torch.Generator | None, image: int) -> torch.Generator | None:
    """The generator for an image of a batch, which is the batch's own where it has no other.

    Args:
        generator: as a loss gets it.
        image: number of the image in the batch, from 0.

    Example:
        >>> chance_of(None, 3) is None
        True
    """
    return generator.images[image] if isinstance(generator, ImageChance) else generator


def image_noise(counts: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Noise in [0, 1) for the pixels of images that follow one another, ``(sum of counts,)``.

    Args:
        counts: pixels of each image.
        generator: as a loss gets it.

    Example:
        >>> image_noise([2, 1], ImageChance(0, [torch.Generator(), torch.Generator()])).shape
        torch.Size([3])
    """
    if not isinstance(generator, ImageChance):
        return torch.rand(sum(counts), generator=generator, dtype=torch.float64)
    noise = torch.empty(sum(counts), dtype=torch.float64)
    for one, part in zip(generator.images, noise.split(list(counts)), strict=False):
        part.uniform_(generator=one)  # images at the end may have no pixel
    return noise
