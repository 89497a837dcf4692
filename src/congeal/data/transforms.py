"""The default training augmentation, applied jointly to an image and its maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from congeal.data.view import View, view_image, view_map

__all__ = ["Augment", "TrainTransform", "centre_crop"]


class Augment(Protocol):
    """Interface of augmentations: random functions of image and maps."""

    def __call__(
        self, image: Tensor, labels: Tensor, *maps: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Augment an image, its labels and further maps jointly.

        Inputs are not modified.

        Args:
            image: ``(3, H, W)`` floats.
            labels: ``(H, W)`` integers, -1 void.
            maps: further label maps ``(H, W)``, such as semantic maps, or
                :class:`congeal.data.view.BoundaryMap` and
                :class:`congeal.data.view.LocationMap`.
            generator: source of randomness. The random numbers do not depend on the maps.

        Returns:
            Plain tensors: image, labels, and the maps in the given order.
        """


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _chance(generator: torch.Generator, probability: float) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def centre_crop(image: Tensor, labels: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Crop the centre, or pad to size: the image with zeros, the labels with void.

    Args:
        image: ``(C, H, W)``.
        labels: ``(H, W)``, -1 void.
        size: height and width of the result.

    Returns:
        Image ``(C, *size)`` and labels ``(*size)``.

    Example:
        >>> _, labels = centre_crop(torch.zeros(3, 2, 2), torch.ones(2, 2), (2, 4))
        >>> labels.tolist()
        [[-1.0, 1.0, 1.0, -1.0], [-1.0, 1.0, 1.0, -1.0]]
    """
    height, width = labels.shape
    left, top = (size[1] - width) // 2, (size[0] - height) // 2
    sides = [left, size[1] - width - left, top, size[0] - height - top]
    pad = torch.nn.functional.pad  # negative sides crop
    return pad(image, sides), pad(labels, sides, value=-1)


@dataclass(frozen=True)
class TrainTransform:
    """Random crop, scale, rotation, flip, and photometric changes.

    All random numbers are drawn from the given generator, so a sample is a pure function of its
    seed: neither the order of workers nor a restart changes it.

    Args:
        crop: side of the square crop in pixels.
        scale: range of the scale factor, log-uniformly distributed.
        rotation: largest angle in either direction in degrees (180: any orientation).
        flip: flip horizontally with probability 1/2, also vertically if ``rotation`` is over 90.
        gain: largest relative change of each channel.
        gamma: largest relative change of gamma.
        noise: largest standard deviation of added noise (images are about [0, 1]).
        probability: of each change of scale, rotation, gain and gamma; noise has half of it, blur
            a quarter.
        foreground: probability that the crop is centred on a pixel of an object.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> image, labels = torch.rand(3, 40, 60), torch.ones(40, 60, dtype=torch.int64)
        >>> image, labels = TrainTransform(crop=32)(image, labels, generator=generator)
        >>> tuple(image.shape), tuple(labels.shape), labels.dtype
        ((3, 32, 32), (32, 32), torch.int64)
    """

    crop: int = 256
    scale: tuple[float, float] = (0.7, 1.5)
    rotation: float = 180.0
    flip: bool = True
    gain: float = 0.2
    gamma: float = 0.3
    noise: float = 0.05
    probability: float = 0.7
    foreground: float = 0.5

    def __call__(
        self, image: Tensor, labels: Tensor, *maps: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Augment image, labels and further maps to crop size, as of :class:`Augment`.

        The image becomes float32 and label maps become int64.
        """
        view = self._view(labels, generator)
        crop = self._change_intensity(view_image(image, view), generator)
        return crop, *(view_map(x, view) for x in (labels, *maps))

    def _centre(self, labels: Tensor, generator: torch.Generator) -> tuple[int, int]:
        height, width = labels.shape
        if _chance(generator, self.foreground):
            pixel = _object_pixel(labels, generator)
            if pixel is not None:
                return pixel
        margin_y, margin_x = min(self.crop, height) // 4, min(self.crop, width) // 4
        y = _uniform(generator, margin_y, max(height - margin_y, margin_y + 1))
        x = _uniform(generator, margin_x, max(width - margin_x, margin_x + 1))
        return int(y), int(x)

    def _draw_geometry(self, generator: torch.Generator) -> tuple[float, float]:
        log_scale = _uniform(generator, math.log(self.scale[0]), math.log(self.scale[1]))
        scale = math.exp(log_scale) if _chance(generator, self.probability) else 1.0
        angle = _uniform(generator, -self.rotation, self.rotation)
        return scale, angle if _chance(generator, self.probability) else 0.0

    def _view(self, labels: Tensor, generator: torch.Generator) -> View:
        scale, angle = self._draw_geometry(generator)
        size = (self.crop, self.crop)
        # At least the crop size, so that an enlarged view keeps the same distance to the border.
        side = max(*View((0, 0), size, scale, angle).extent, self.crop)
        half = math.ceil(side) / 2 + 1
        centre = self._centre(labels, generator)
        y, x = (
            min(max(at + 0.5, half), length - half) if length >= 2 * half else length / 2
            for at, length in zip(centre, labels.shape, strict=True)
        )  # moved inside the image; a small image is centred
        return View((y, x), size, scale, angle, self._draw_flip(generator))

    def _draw_flip(self, generator: torch.Generator) -> tuple[bool, bool]:
        horizontal = self.flip and _chance(generator, 0.5)
        vertical = self.flip and self.rotation > 90 and _chance(generator, 0.5)
        return vertical, horizontal

    def _change_intensity(self, image: Tensor, generator: torch.Generator) -> Tensor:
        if _chance(generator, self.probability):
            gain = 1 + self.gain * (2 * torch.rand(image.shape[0], 1, 1, generator=generator) - 1)
            image = image * gain
        if _chance(generator, self.probability):
            power = math.exp(_uniform(generator, -self.gamma, self.gamma))
            image = image.clamp_min(0).pow_(power)
        if _chance(generator, self.probability / 2):
            deviation = _uniform(generator, 0, self.noise)
            noise = torch.randn(image.shape, generator=generator)
            image = noise.mul_(deviation).add_(image)
        if _chance(generator, self.probability / 4):
            image = _blur(image, _uniform(generator, 0.3, 1.2))
        return image


def _object_pixel(labels: Tensor, generator: torch.Generator) -> tuple[int, int] | None:
    """Row and column of a uniformly random object pixel; None without objects."""
    inside = labels > 0  # (H, W)
    ends = inside.sum(1, dtype=torch.int32).cumsum(0)  # (H,): faster than listing all pixels
    if not len(ends) or not int(ends[-1]):
        return None
    number = int(torch.randint(int(ends[-1]), (), generator=generator))
    row = int(torch.searchsorted(ends, number, right=True))
    columns = inside[row].nonzero()[:, 0]
    return row, int(columns[number - int(ends[row])])  # a negative index, from the end of the row


def _blur(image: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of ``(C, H, W)`` with a 5 x 5 kernel and reflect padding."""
    kernel = [math.exp(-0.5 * (offset / deviation) ** 2) for offset in range(-2, 3)]
    weights = [value / sum(kernel) for value in kernel]
    padded = torch.nn.functional.pad(image[None], (2, 2, 2, 2), mode="reflect")[0]
    for axis in (-1, -2):
        length = padded.shape[axis] - 4
        total = padded.narrow(axis, 2, length) * weights[2]
        for start in (0, 1, 3, 4):
            total.add_(padded.narrow(axis, start, length), alpha=weights[start])
        padded = total
    return padded
