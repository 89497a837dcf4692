"""Joint augmentation of an image and its maps for training: fast, labels never interpolated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from congeal.data.view import View, view_image, view_map

__all__ = ["Augment", "TrainTransform", "centre_crop"]


class Augment(Protocol):
    """What a training stream takes: new image and maps, drawn from the generator alone."""

    def __call__(
        self, image: Tensor, labels: Tensor, *maps: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Augment an image, its labels and any other maps of it together.

        The memory given is not written to.

        Args:
            image: ``(3, H, W)`` floats.
            labels: ``(H, W)`` integers, -1 void.
            maps: more label maps ``(H, W)``, such as semantic ones; or
                :class:`congeal.data.view.BoundaryMap` and
                :class:`congeal.data.view.LocationMap`.
            generator: of all that is drawn. The maps change nothing about what is drawn.

        Returns:
            Plain tensors: image, labels, and the maps in the order given.
        """


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _chance(generator: torch.Generator, probability: float) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def centre_crop(image: Tensor, labels: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cut the middle out, or pad to size: image with zeros, labels with void.

    Args:
        image: ``(C, H, W)``.
        labels: ``(H, W)``, -1 void.
        size: height and width wanted.

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
    """Random window, scale, rotation, mirror, and light; the geometry is the same for all maps.

    Every number is drawn from the generator given, so a sample is a pure function of its seed:
    the order of workers, or a restart, changes nothing.

    Args:
        crop: side of the square given back, in pixels.
        scale: range of the zoom (log-uniform).
        rotation: largest angle in degrees, either way (180: any orientation).
        flip: mirror with probability one half, both axes when ``rotation`` is over 90.
        gain: largest relative change of each channel's gain.
        gamma: largest relative change of gamma.
        noise: largest standard deviation of added noise (images are about [0, 1]).
        probability: chance of each change of geometry and of light.
        foreground: chance that the window is centred on an object rather than anywhere.

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
        """Augment image, labels and more maps to crop size, as :class:`Augment` says.

        Whatever their precision, the image comes back as float32 and label maps as int64.
        """
        view = self._view(labels, generator)
        seen = self._light(view_image(image, view), generator)
        return seen, *(view_map(one, view) for one in (labels, *maps))

    def _centre(self, labels: Tensor, generator: torch.Generator) -> tuple[int, int]:
        height, width = labels.shape
        if _chance(generator, self.foreground):
            found = _object_pixel(labels, generator)
            if found is not None:
                return found
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
        reach = max(*View((0, 0), size, scale, angle).reach, self.crop)
        half = math.ceil(reach) / 2 + 1  # also the canvas of what is zoomed in on
        centre = self._centre(labels, generator)
        y, x = (
            min(max(at + 0.5, half), length - half) if length >= 2 * half else length / 2
            for at, length in zip(centre, labels.shape, strict=True)
        )  # shifted inward where the image ends; a small image lies in the middle
        return View((y, x), size, scale, angle, self._mirror(generator))

    def _mirror(self, generator: torch.Generator) -> tuple[bool, bool]:
        across = self.flip and _chance(generator, 0.5)
        down = self.flip and self.rotation > 90 and _chance(generator, 0.5)
        return down, across

    def _light(self, image: Tensor, generator: torch.Generator) -> Tensor:
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
    """Row and column of a pixel of an object, every one as likely; None without objects."""
    inside = labels > 0  # (H, W)
    ends = inside.sum(1, dtype=torch.int32).cumsum(0)  # (H,), found by rows: the list is long
    if not len(ends) or not int(ends[-1]):
        return None
    number = int(torch.randint(int(ends[-1]), (), generator=generator))
    row = int(torch.searchsorted(ends, number, right=True))
    columns = inside[row].nonzero()[:, 0]
    return row, int(columns[number - int(ends[row])])  # counted from the end of the row


def _blur(image: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of ``(C, H, W)`` over 5 x 5 pixels, mirrored at the edges."""
    heights = [math.exp(-0.5 * (at / deviation) ** 2) for at in range(-2, 3)]
    weights = [height / sum(heights) for height in heights]
    padded = torch.nn.functional.pad(image[None], (2, 2, 2, 2), mode="reflect")[0]
    for axis in (-1, -2):
        length = padded.shape[axis] - 4
        total = padded.narrow(axis, 2, length) * weights[2]
        for start in (0, 1, 3, 4):
            total.add_(padded.narrow(axis, start, length), alpha=weights[start])
        padded = total
    return padded
