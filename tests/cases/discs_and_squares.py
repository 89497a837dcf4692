"""Drawn data with everything that any task learns from: objects, classes, boundaries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from congeal.data.sample import Dataset, Sample


class DiscsAndSquares(Dataset):
    """Bright discs and dark squares on gray, by two annotators; nothing is stored.

    Args:
        split: another split, other images.
        count: number of images.
        side: of the square images in pixels.
    """

    class_names = ("background", "disc", "square")
    other_protocols = ("miou", "bsds-boundaries", "proposals")

    def __init__(self, split: str = "train", count: int = 4, side: int = 72) -> None:
        self.name, self.split, self.count, self.side = "discs-and-squares", split, count, side

    def __len__(self) -> int:
        return self.count

    def names(self) -> list[str]:
        return [f"{self.split}-{index}" for index in range(self.count)]

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.default_rng([index, *self.split.encode()])
        y, x = np.mgrid[: self.side, : self.side]
        image = rng.normal(110, 6, (self.side, self.side, 3))
        labels, classes = np.zeros((self.side, self.side), np.int64), []
        quarters = ((0, 0), (0, 1), (1, 0), (1, 1))  # an object in each, or in three of them
        for row, column in quarters[: 4 - index % 2]:
            half = self.side // 2
            down, right = rng.uniform(0.4, 0.6, 2) * half + (row * half, column * half)
            radius, kind = rng.uniform(0.2, 0.35) * half, 1 + (row + column + index) % 2
            away = np.maximum(abs(y - down), abs(x - right))
            inside = (np.hypot(y - down, x - right) if kind == 1 else away) <= radius
            classes.append(kind)
            labels[inside] = len(classes)
            image[inside] += rng.uniform(70, 110) * (1 if kind == 1 else -1)
        kinds = np.array(classes, np.int64)
        return Sample(
            self.names()[index],
            image.clip(0, 255).astype(np.uint8),
            labels,
            semantic=np.concatenate([[0], kinds])[labels],
            classes=kinds,
            annotations=(labels + 1, np.minimum(labels, 1) + 1),
        )


def write_folder(home: Path, data: Dataset) -> Path:
    """Write a plain folder of images/ and masks/."""
    for sample in data:
        for kind, pixels in (("images", sample.image), ("masks", sample.labels.astype(np.uint16))):
            path = home / kind / f"{sample.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return home
