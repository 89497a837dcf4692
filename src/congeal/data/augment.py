"""The papers' augmentations, as torchvision v2 transforms of images and their maps.

Each is an :class:`Augmentation`, a sequence of v2 transforms. All geometric changes are one
resampling: bilinear for images, nearest neighbour for labels, void outside the image; for
boundaries and locations see :mod:`congeal.data.view`. Defaults are the papers' values; docstrings
mark the values that a paper does not state.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from congeal.data.photometric import RandomGain, RandomGamma, uniform
from congeal.data.transforms import Augment, TrainTransform
from congeal.data.view import BoundaryMap, LocationMap, View, view_image, view_map
from congeal.errors import CongealError, unknown

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "RandomTrim",
    "RandomView",
    "build_augmentation",
    "debrabandere2017_augmentation",
    "hwang2019_augmentation",
    "kong2018_augmentation",
    "yuan2020_augmentation",
]

Range = tuple[float, float]
Size = int | tuple[int, int]


class Augmentation(v2.Compose):  # type: ignore[misc]  # torchvision has no types
    """A sequence of transforms, applied jointly to an image and any number of maps.

    Accepts what v2 transforms accept: :class:`torchvision.tv_tensors.Image` and
    :class:`~torchvision.tv_tensors.Mask` in nested lists and dicts. Alternatively plain tensors:
    the first is the image, the others are label maps (instances, semantic), or a
    :class:`~congeal.data.view.BoundaryMap` or :class:`~congeal.data.view.LocationMap`; then plain
    tensors are returned.

    Args:
        transforms: of torchvision or of this module.

    Example:
        >>> augment = hwang2019_augmentation(crop=32)
        >>> image, labels = torch.rand(3, 40, 60), torch.ones(40, 60, dtype=torch.int64)
        >>> image, labels = augment(image, labels, generator=torch.Generator().manual_seed(0))
        >>> tuple(image.shape), tuple(labels.shape), labels.dtype
        ((3, 32, 32), (32, 32), torch.int64)
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        super().__init__(transforms)

    def forward(self, *inputs: Any, generator: torch.Generator | None = None) -> Any:
        """Apply the transforms.

        Args:
            inputs: as described for the class.
            generator: source of randomness, also for transforms of torchvision, which use the
                default generator: its state is restored. None: the default generator.
        """
        with _drawing_from(generator):
            if not all(type(x) in (Tensor, BoundaryMap, LocationMap) for x in inputs):
                return super().forward(*inputs)
            masks = (x if type(x) is not Tensor else tv_tensors.Mask(x) for x in inputs[1:])
            outputs = super().forward(tv_tensors.Image(inputs[0]), *masks)
        if len(inputs) == 1:
            return outputs.as_subclass(Tensor)
        return tuple(output.as_subclass(Tensor) for output in outputs)


@contextlib.contextmanager
def _drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Seed the default CPU generator from this one within the block; GPU generators stay."""
    if generator is None:
        yield
        return
    state = torch.get_rng_state()
    seed = int(torch.randint(2**62, (), generator=generator))
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


class RandomView(v2.Transform):  # type: ignore[misc]
    """A crop of fixed size at random position, scale, rotation and flip, in one resampling.

    The crop lies anywhere on the scaled image. An image smaller than the crop is placed anywhere
    in it and padded with ``fill`` (labels: void). Label maps become int64, integer images keep
    their type, other images become float32.

    Args:
        size: height and width of the crop, or the side of a square, in pixels.
        scale: range of the scale factor, uniformly distributed.
        rotation: largest angle in either direction, in degrees.
        flip: probability of a horizontal flip.
        probability: of a scale other than 1, and of a rotation.
        cover: first rescale the image to the smallest size that covers the crop.
        fill: padding value of the image.

    Example:
        >>> image = tv_tensors.Image(torch.rand(3, 40, 60))
        >>> RandomView(32)(image).shape
        torch.Size([3, 32, 32])
    """

    def __init__(
        self,
        size: Size,
        *,
        scale: Range = (1.0, 1.0),
        rotation: float = 0.0,
        flip: float = 0.5,
        probability: float = 1.0,
        cover: bool = False,
        fill: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 < scale[0] <= scale[1]:
            raise CongealError(f"scale: expected 0 < smallest <= largest, got {scale}")
        self.size = (size, size) if isinstance(size, int) else size
        self.scale = scale
        self.rotation = rotation
        self.flip = float(flip)
        self.probability = probability
        self.cover = cover
        self.fill = fill

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raise an error for inputs that cannot be resampled: boxes, key points, PIL images."""
        for x in flat_inputs:
            if isinstance(x, (tv_tensors.Image, tv_tensors.Mask)) or type(x) is Tensor:
                continue
            if isinstance(x, tv_tensors.TVTensor) or type(x).__module__.startswith("PIL."):
                raise CongealError(f"expected tensors Image and Mask, got {type(x).__name__}")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the view, for inputs of the same height and width."""
        sizes = {tuple(x.shape[-2:]) for x in flat_inputs}
        if len(sizes) != 1:
            raise CongealError(f"expected image and labels of the same size, got {sorted(sizes)}")
        ((height, width),) = sizes
        scale = uniform(*self.scale) if _chance(self.probability) else 1.0
        if self.cover:
            scale *= max(self.size[0] / height, self.size[1] / width)
        rotated = self.rotation > 0 and _chance(self.probability)
        angle = uniform(-self.rotation, self.rotation) if rotated else 0.0
        size, centre = self._draw_window(height, width, scale)
        return {"view": View(centre, size, scale, angle, (False, _chance(self.flip)))}

    def _draw_window(self, height: int, width: int, scale: float) -> tuple[tuple[int, int], Range]:
        """Draw the crop: its size in pixels, and its centre on the image."""
        y, x = (
            uniform(half, length - half)  # half > length - half where the image is smaller
            for half, length in zip(
                (side / 2 / scale for side in self.size), (height, width), strict=True
            )
        )
        return self.size, (y, x)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resample one input."""
        view: View = params["view"]
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(view_map(inpt, view), like=inpt)
        cropped = view_image(inpt.as_subclass(Tensor), view, self.fill)
        if not inpt.is_floating_point():
            cropped = cropped.round_().to(inpt.dtype)  # interpolated, so within the range
        return tv_tensors.wrap(cropped, like=inpt)


class RandomTrim(RandomView):
    """Random scale, rotation and flip of the whole image, minus a random margin on each side.

    Args:
        margin: largest margin to cut from each side, in pixels.
        divisor: height and width become positive multiples of it.
        settings: of :class:`RandomView`; ``probability`` also applies to cutting a margin.

    Example:
        >>> image = tv_tensors.Image(torch.rand(3, 100, 150))
        >>> height, width = RandomTrim(scale=(0.7, 1.5))(image).shape[1:]
        >>> height % 8, width % 8
        (0, 0)
    """

    def __init__(self, *, margin: int = 20, divisor: int = 8, **settings: Any) -> None:
        super().__init__(divisor, **settings)
        self.margin = margin
        self.divisor = divisor

    def _draw_window(self, height: int, width: int, scale: float) -> tuple[tuple[int, int], Range]:
        cut = _chance(self.probability)
        sides, centres = zip(
            *(self._trim(round(length * scale), cut) for length in (height, width)), strict=True
        )
        return (sides[0], sides[1]), (centres[0] / scale, centres[1] / scale)

    def _trim(self, length: int, cut: bool) -> tuple[int, float]:
        """Draw the trimmed length of a side, and its centre on the scaled image."""
        first, last = torch.randint(self.margin + 1, (2,)).tolist() if cut else (0, 0)
        kept = max((length - first - last) // self.divisor, 1) * self.divisor
        return kept, first + (length - first - last) / 2


def kong2018_augmentation(
    crop: Size | None = None,
    *,
    scale: Range = (0.7, 1.5),
    rotation: float = 15.0,
    flip: float = 0.5,
    margin: int = 20,
    divisor: int = 8,
    gain: float = 0.2,
    gamma: float = 0.2,
    probability: float = 0.7,
) -> Augmentation:
    """Augmentation of recurrent pixel embedding: geometry, channel gain and gamma.

    Kong & Fowlkes, CVPR 2018, and their code: scale .7 to 1.5, rotation up to 15 degrees,
    horizontal flip with probability .5, margins of up to 20 pixels cut off to a size divisible by
    8, channel gains .8 to 1.2, gamma; each but the flip with probability .7. The paper does not
    state the range of gamma.

    Args:
        crop: height and width, or side of a square, of a random crop; None: trim as in the paper,
            which gives images of different sizes.
        scale: range of the scale factor.
        rotation: largest angle in either direction, in degrees.
        flip: probability of a horizontal flip.
        margin: largest margin cut from each side, without ``crop``.
        divisor: of height and width, without ``crop``.
        gain: largest relative change of each channel.
        gamma: largest deviation of gamma from 1.
        probability: of each change but the flip.

    Example:
        >>> image, labels = torch.rand(3, 90, 90), torch.ones(90, 90, dtype=torch.int64)
        >>> image, labels = kong2018_augmentation()(image, labels)
        >>> labels.shape[0] % 8
        0
    """
    geometry = {"scale": scale, "rotation": rotation, "flip": flip, "probability": probability}
    if crop is None:
        view: RandomView = RandomTrim(margin=margin, divisor=divisor, **geometry)
    else:
        view = RandomView(crop, **geometry)  # type: ignore[arg-type]
    return Augmentation([view, RandomGain(gain, probability), RandomGamma(gamma, probability)])


def hwang2019_augmentation(
    crop: Size = 336, *, scale: Range = (0.5, 2.0), rotation: float = 0.0, flip: float = 0.5
) -> Augmentation:
    """Augmentation of SegSort: random scale, flip and crop (Hwang et al., ICCV 2019).

    Args:
        crop: height and width, or side of a square.
        scale: range of the scale factor.
        rotation: largest angle in either direction, in degrees; 0 in the paper.
        flip: probability of a horizontal flip.

    Example:
        >>> image, labels = torch.rand(3, 90, 90), torch.ones(90, 90, dtype=torch.int64)
        >>> image, labels = hwang2019_augmentation(crop=32)(image, labels)
        >>> tuple(labels.shape)
        (32, 32)
    """
    return Augmentation([RandomView(crop, scale=scale, rotation=rotation, flip=flip)])


def yuan2020_augmentation(
    crop: Size = 513, *, scale: Range = (0.5, 2.0), rotation: float = 0.0, flip: float = 0.5
) -> Augmentation:
    """Augmentation of deep variational segmentation: random scale, flip and crop.

    Yuan, Chen & Fuxin, NeurIPS 2020, state the crop of 513 x 513 (on PASCAL VOC), not scale and
    flip.

    Args:
        crop: height and width, or side of a square.
        scale: range of the scale factor.
        rotation: largest angle in either direction, in degrees.
        flip: probability of a horizontal flip.

    Example:
        >>> image, labels = torch.rand(3, 90, 90), torch.ones(90, 90, dtype=torch.int64)
        >>> image, labels = yuan2020_augmentation(crop=32)(image, labels)
        >>> tuple(labels.shape)
        (32, 32)
    """
    return Augmentation([RandomView(crop, scale=scale, rotation=rotation, flip=flip)])


def debrabandere2017_augmentation(
    crop: Size = (384, 768),
    *,
    scale: Range = (1.0, 1.0),
    rotation: float = 0.0,
    flip: float = 0.5,
) -> Augmentation:
    """Augmentation of the discriminative loss: the whole image at 768 x 384, with random flip.

    De Brabandere, Neven & Van Gool, 2017, state the size (on Cityscapes), not the flip. An image of
    another aspect ratio is rescaled to cover the crop, which lies at a random position.

    Args:
        crop: height and width, or side of a square.
        scale: range of an additional scale factor.
        rotation: largest angle in either direction, in degrees.
        flip: probability of a horizontal flip.

    Example:
        >>> image, labels = torch.rand(3, 90, 90), torch.ones(90, 90, dtype=torch.int64)
        >>> image, labels = debrabandere2017_augmentation(crop=(32, 64))(image, labels)
        >>> tuple(labels.shape)
        (32, 64)
    """
    view = RandomView(crop, scale=scale, rotation=rotation, flip=flip, cover=True)
    return Augmentation([view])


AUGMENTATIONS: dict[str, Callable[..., Augment]] = {
    "default": TrainTransform,
    "kong2018": kong2018_augmentation,
    "hwang2019": hwang2019_augmentation,
    "yuan2020": yuan2020_augmentation,
    "debrabandere2017": debrabandere2017_augmentation,
}


def build_augmentation(name: str, **settings: Any) -> Augment:
    """Build an augmentation by name; call it with image, labels and ``generator=``.

    Args:
        name: ``"default"`` (congeal's own) or one of the papers' in ``AUGMENTATIONS``.
        settings: of the augmentation, such as ``crop``.

    Raises:
        CongealError: the augmentation, or one of the settings, is unknown.

    Example:
        >>> augment = build_augmentation("kong2018", crop=64)
        >>> image, labels = torch.rand(3, 90, 90), torch.ones(90, 90, dtype=torch.int64)
        >>> image, labels = augment(image, labels, generator=torch.Generator().manual_seed(0))
        >>> tuple(image.shape)
        (3, 64, 64)
    """
    if name not in AUGMENTATIONS:
        raise unknown("augmentation", name, AUGMENTATIONS)
    known = inspect.signature(AUGMENTATIONS[name]).parameters
    for setting in settings:
        if setting not in known:
            raise unknown(f"setting of augmentation {name}", setting, known)
    return AUGMENTATIONS[name](**settings)


def _chance(probability: float) -> bool:
    return torch.rand(()).item() < probability
