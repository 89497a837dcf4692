"""Joint augmentation of image and labels: geometry by torchvision v2, labels never interpolated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

__all__ = ["TrainTransform", "centre_crop"]


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
    """Random window, scale, rotation, mirror, and light, the same for image and labels.

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
        >>> image, labels = TrainTransform(crop=32)(image, labels, generator)
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
        self, image: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Augment ``(3, H, W)`` float and ``(H, W)`` int64 to crop size; empty canvas is void."""
        image, labels = self._geometry(image, labels, generator)
        return self._light(image, generator), labels

    def _centre(self, labels: Tensor, generator: torch.Generator) -> tuple[int, int]:
        height, width = labels.shape
        if _chance(generator, self.foreground):
            objects = (labels.reshape(-1) > 0).nonzero()[:, 0]
            if len(objects):
                pick = int(objects[int(torch.randint(len(objects), (), generator=generator))])
                return pick // width, pick % width
        margin_y, margin_x = min(self.crop, height) // 4, min(self.crop, width) // 4
        y = _uniform(generator, margin_y, max(height - margin_y, margin_y + 1))
        x = _uniform(generator, margin_x, max(width - margin_x, margin_x + 1))
        return int(y), int(x)

    def _draw_geometry(self, generator: torch.Generator) -> tuple[float, float]:
        log_scale = _uniform(generator, math.log(self.scale[0]), math.log(self.scale[1]))
        scale = math.exp(log_scale) if _chance(generator, self.probability) else 1.0
        angle = _uniform(generator, -self.rotation, self.rotation)
        return scale, angle if _chance(generator, self.probability) else 0.0

    def _geometry(
        self, image: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        scale, angle = self._draw_geometry(generator)
        turn = math.radians(angle)
        reach = self.crop * (abs(math.cos(turn)) + abs(math.sin(turn))) / scale
        window = math.ceil(max(reach, self.crop)) + 2  # also the canvas of what is zoomed in on
        image, labels = _window(image, labels, self._centre(labels, generator), window)
        if scale != 1.0 or angle != 0.0:
            image, labels = _affine(image, labels, scale, angle)
        image, labels = centre_crop(image, labels, (self.crop, self.crop))
        return self._mirror(image, labels, generator)

    def _mirror(
        self, image: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        axes = [-1, -2] if self.rotation > 90 else [-1]
        for axis in axes:
            if self.flip and _chance(generator, 0.5):
                image, labels = image.flip(axis), labels.flip(axis)
        return image, labels

    def _light(self, image: Tensor, generator: torch.Generator) -> Tensor:
        if _chance(generator, self.probability):
            gain = 1 + self.gain * (2 * torch.rand(image.shape[0], 1, 1, generator=generator) - 1)
            image = image * gain
        if _chance(generator, self.probability):
            power = math.exp(_uniform(generator, -self.gamma, self.gamma))
            image = image.clamp_min(0).pow(power)
        if _chance(generator, self.probability / 2):
            deviation = _uniform(generator, 0, self.noise)
            image = image + deviation * torch.randn(image.shape, generator=generator)
        if _chance(generator, self.probability / 4):
            blurred = tv.gaussian_blur(image, [5, 5], [_uniform(generator, 0.3, 1.2)])
            image = torch.as_tensor(blurred)
        return image


def _window(
    image: Tensor, labels: Tensor, centre: tuple[int, int], size: int
) -> tuple[Tensor, Tensor]:
    """Cut a square of ``size`` around ``centre``, shifted inward where the image ends."""
    height, width = labels.shape
    top = min(max(centre[0] - size // 2, 0), max(height - size, 0))
    left = min(max(centre[1] - size // 2, 0), max(width - size, 0))
    cut = (slice(top, top + size), slice(left, left + size))
    return centre_crop(image[(slice(None), *cut)], labels[cut], (size, size))


def _affine(image: Tensor, labels: Tensor, scale: float, angle: float) -> tuple[Tensor, Tensor]:
    moved = [
        tv.affine(
            item,
            angle=angle,
            translate=[0.0, 0.0],
            scale=scale,
            shear=[0.0, 0.0],
            interpolation=interpolation,
            fill=fill,
        )
        for item, interpolation, fill in (
            (tv_tensors.Image(image), InterpolationMode.BILINEAR, [0.0] * image.shape[0]),
            (tv_tensors.Mask(labels), InterpolationMode.NEAREST, [-1.0]),
        )
    ]
    return torch.as_tensor(moved[0]), torch.as_tensor(moved[1])
