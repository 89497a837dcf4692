"""Augmented versions of an image for display."""

from __future__ import annotations

import torch

from congeal.data.intensity import scale_intensity
from congeal.data.sample import LabelMap, Pixels, Sample
from congeal.data.transforms import Augment

__all__ = ["example_draws"]


def example_draws(
    sample: Sample, augment: Augment, number: int, seed: int = 0
) -> list[tuple[Pixels, LabelMap]]:
    """Augment an image several times, for display.

    Args:
        sample: image and labels.
        augment: of :func:`build_augmentation`.
        number: of draws.
        seed: of the random generator.

    Returns:
        For each draw an image ``(H, W, 3)`` uint8 and labels ``(H, W)``.

    Example:
        >>> from congeal.data import open_dataset
        >>> from congeal.data.augment import build_augmentation
        >>> sample = open_dataset("sticks", "val", count=1)[0]
        >>> [(image, labels)] = example_draws(sample, build_augmentation("kong2018", crop=64), 1)
        >>> image.shape, labels.shape
        ((64, 64, 3), (64, 64))
    """
    image, labels = scale_intensity(sample.image), torch.from_numpy(sample.labels)
    generator = torch.Generator().manual_seed(seed)
    draws = [augment(image, labels, generator=generator) for _ in range(number)]
    return [
        (x.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy(), drawn_labels.numpy())
        for x, drawn_labels in draws
    ]
