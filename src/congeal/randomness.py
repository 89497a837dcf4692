"""Random numbers of a training step, image by image, so that they do not depend on the batch.

Replicas and processes each compute a part of a batch. They draw the same numbers for an image as
one process with the whole batch would, because each image has a generator of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

__all__ = ["BatchGenerator", "image_generator", "image_noise"]


class BatchGenerator(torch.Generator):
    """A random generator for a batch, with one generator for each image of the batch.

    Args:
        seed: seed for random numbers that belong to no image.
        images: a CPU generator for each image of the batch.

    Example:
        >>> batch = BatchGenerator(0, [torch.Generator().manual_seed(seed) for seed in (1, 2)])
        >>> second = image_generator(batch, 1)
        >>> bool(
        ...     torch.rand((), generator=second) == torch.rand((), generator=second.manual_seed(2))
        ... )
        True
    """

    images: tuple[torch.Generator, ...]

    def __new__(cls, seed: int, images: Sequence[torch.Generator]) -> Self:
        """Make a generator on the CPU; PyTorch's constructor takes a device only."""
        del seed, images
        return super().__new__(cls)

    def __init__(self, seed: int, images: Sequence[torch.Generator]) -> None:
        self.manual_seed(seed)
        self.images = tuple(images)


def image_generator(generator: torch.Generator | None, image: int) -> torch.Generator | None:
    """The generator of one image of a batch; ``generator`` itself if it is no BatchGenerator.

    Args:
        generator: random generator as passed to a loss.
        image: index of the image in the batch.

    Example:
        >>> image_generator(None, 3) is None
        True
    """
    return generator.images[image] if isinstance(generator, BatchGenerator) else generator


def image_noise(counts: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Uniform noise in [0, 1) for the pixels of several images, concatenated.

    Args:
        counts: number of pixels of each image.
        generator: random generator as passed to a loss.

    Returns:
        ``(sum(counts),)`` float64.

    Example:
        >>> image_noise([2, 1], BatchGenerator(0, [torch.Generator(), torch.Generator()])).shape
        torch.Size([3])
    """
    if not isinstance(generator, BatchGenerator):
        return torch.rand(sum(counts), generator=generator, dtype=torch.float64)
    noise = torch.empty(sum(counts), dtype=torch.float64)
    # Not strict: images without pixels at the end of the batch may have no count.
    for image, pixels in zip(generator.images, noise.split(list(counts)), strict=False):
        pixels.uniform_(generator=image)
    return noise
