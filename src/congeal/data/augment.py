"""The papers' augmentations by name: torchvision v2 transforms on images and their maps.

Each is a :class:`Augmentation`, a sequence of v2 transforms. Geometry is one resampling: images
are interpolated, labels are picked from the nearest pixel, and the canvas beyond the image is void;
boundaries and locations are resampled as :mod:`congeal.data.view` says.
The numbers of the papers are defaults; every one of them is a setting. What a paper does not say
is marked as ours.
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

from congeal.data.intensity import scale_intensity
from congeal.data.light import RandomGain, RandomGamma, uniform
from congeal.data.sample import LabelMap, Pixels, Sample
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
    "example_draws",
    "hwang2019_augmentation",
    "kong2018_augmentation",
    "yuan2020_augmentation",
]

Range = tuple[float, float]
Size = int | tuple[int, int]


class Augmentation(v2.Compose):  # type: ignore[misc]  # torchvision has no types
    """Transforms one after the other, on an image and any number of label maps.

    Takes what v2 transforms take: :class:`torchvision.tv_tensors.Image` and
    :class:`~torchvision.tv_tensors.Mask` in any nest of lists and dicts. Plain tensors do as well:
    the first is the image, the others are label maps (instances, semantic classes); a
    :class:`~congeal.data.view.BoundaryMap` or :class:`~congeal.data.view.LocationMap` among them
    is what it is, and all come back plain.

    Args:
        transforms: of torchvision, or the ones here.

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
        """Augment; draws come from the generator, or from torch's own without one.

        With a generator the result depends on it alone, and torch's own is left as it was, also by
        transforms of torchvision in the sequence.
        """
        with _drawing_from(generator):
            if not all(type(one) in (Tensor, BoundaryMap, LocationMap) for one in inputs):
                return super().forward(*inputs)
            masks = (one if type(one) is not Tensor else tv_tensors.Mask(one) for one in inputs[1:])
            found = super().forward(tv_tensors.Image(inputs[0]), *masks)
        if len(inputs) == 1:
            return found.as_subclass(Tensor)
        return tuple(one.as_subclass(Tensor) for one in found)


@contextlib.contextmanager
def _drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Seed torch's own generator from this one for a while; that of a GPU is not touched."""
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
    """A window of fixed size at random place, scale, turn and mirror, in one resampling.

    The window lies anywhere on the scaled image. An image that is smaller than the window lies
    anywhere in it, on a canvas of ``fill`` and void. Label maps come back as int64, images of
    integers as they were, others as float32.

    Args:
        size: height and width of the window, or the side of a square, in pixels.
        scale: range of the zoom, all of it equally likely.
        rotation: largest turn either way, in degrees.
        flip: probability that left and right change sides.
        probability: of a change of scale, and of a turn.
        cover: zoom first so that the image just covers the window.
        fill: value of the image where the canvas is empty.

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
        """Refuse what cannot be moved along: boxes, points, PIL images."""
        for one in flat_inputs:
            if isinstance(one, (tv_tensors.Image, tv_tensors.Mask)) or type(one) is Tensor:
                continue
            if isinstance(one, tv_tensors.TVTensor) or type(one).__module__.startswith("PIL."):
                raise CongealError(f"expected tensors Image and Mask, got {type(one).__name__}")

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the view; all inputs have to have one size."""
        sizes = {tuple(one.shape[-2:]) for one in flat_inputs}
        if len(sizes) != 1:
            raise CongealError(f"expected image and labels of the same size, got {sorted(sizes)}")
        ((height, width),) = sizes
        scale = uniform(*self.scale) if _chance(self.probability) else 1.0
        if self.cover:
            scale *= max(self.size[0] / height, self.size[1] / width)
        turned = self.rotation > 0 and _chance(self.probability)
        angle = uniform(-self.rotation, self.rotation) if turned else 0.0
        size, centre = self._frame(height, width, scale)
        return {"view": View(centre, size, scale, angle, (False, _chance(self.flip)))}

    def _frame(self, height: int, width: int, scale: float) -> tuple[tuple[int, int], Range]:
        """Draw where the window lies: its size, and its middle on the image."""
        y, x = (
            uniform(half, length - half)  # the other way round where the image is smaller
            for half, length in zip(
                (side / 2 / scale for side in self.size), (height, width), strict=True
            )
        )
        return self.size, (y, x)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Look at one input."""
        view: View = params["view"]
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(view_map(inpt, view), like=inpt)
        seen = view_image(inpt.as_subclass(Tensor), view, self.fill)
        if not inpt.is_floating_point():
            seen = seen.round_().to(inpt.dtype)  # between two values, so within their range
        return tv_tensors.wrap(seen, like=inpt)


class RandomTrim(RandomView):
    """Random scale, turn and mirror of the whole image, less a random margin on each side.

    Args:
        margin: most that is cut from each side, in pixels.
        divisor: height and width become multiples of it (at least one).
        settings: as of :class:`RandomView`; ``probability`` is also that of cutting a margin.

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

    def _frame(self, height: int, width: int, scale: float) -> tuple[tuple[int, int], Range]:
        cut = _chance(self.probability)
        sides, middles = zip(
            *(self._span(round(length * scale), cut) for length in (height, width)), strict=True
        )
        return (sides[0], sides[1]), (middles[0] / scale, middles[1] / scale)

    def _span(self, length: int, cut: bool) -> tuple[int, float]:
        """Draw how long a side becomes, and where its middle lies on the scaled image."""
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
    """Scale, small turn, mirror, trim, and light, as recurrent pixel embedding is trained.

    Kong & Fowlkes, CVPR 2018, and their code: scale .7 to 1.5, rotation up to 15 degrees, mirror
    with probability .5, a margin of up to 20 pixels cut off to a size divisible by 8, gain .8 to
    1.2 of each channel, gamma; each but the mirror with probability .7. The range of gamma is ours.

    Args:
        crop: height and width, or side of a square, of a random window; None trims as the paper
            does, so that images stay of different sizes.
        scale: range of the zoom.
        rotation: largest turn either way, in degrees.
        flip: probability of the mirror.
        margin: most that is cut from each side, without ``crop``.
        divisor: of height and width, without ``crop``.
        gain: largest relative change of each channel.
        gamma: largest change of gamma from 1.
        probability: of each change.

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
    """Random scale, mirror and crop, as SegSort is trained (Hwang et al., ICCV 2019).

    Args:
        crop: height and width, or side of a square.
        scale: range of the zoom.
        rotation: largest turn either way, in degrees; the paper turns nothing.
        flip: probability of the mirror.
    """
    return Augmentation([RandomView(crop, scale=scale, rotation=rotation, flip=flip)])


def yuan2020_augmentation(
    crop: Size = 513, *, scale: Range = (0.5, 2.0), rotation: float = 0.0, flip: float = 0.5
) -> Augmentation:
    """Random scale, mirror and crop of 513 x 513, as for deep variational segmentation.

    Yuan, Chen & Fuxin, NeurIPS 2020, name the crop (on PASCAL VOC); scale and mirror are ours.

    Args:
        crop: height and width, or side of a square.
        scale: range of the zoom.
        rotation: largest turn either way, in degrees.
        flip: probability of the mirror.
    """
    return Augmentation([RandomView(crop, scale=scale, rotation=rotation, flip=flip)])


def debrabandere2017_augmentation(
    crop: Size = (384, 768),
    *,
    scale: Range = (1.0, 1.0),
    rotation: float = 0.0,
    flip: float = 0.5,
) -> Augmentation:
    """The whole image at 768 x 384, mirrored, as the discriminative loss is trained.

    De Brabandere, Neven & Van Gool, 2017, name the size (on Cityscapes); the mirror is ours. An
    image of other proportions is scaled to cover the window, which lies at random on it.

    Args:
        crop: height and width, or side of a square.
        scale: range of a zoom on top of that.
        rotation: largest turn either way, in degrees.
        flip: probability of the mirror.
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
    """Make an augmentation by name; call it with image, labels and ``generator=``.

    Args:
        name: ``"default"`` is congeal's own; the others are the papers'.
        settings: of the augmentation, such as ``crop``.

    Raises:
        CongealError: there is no such augmentation, or no such setting of it.

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


def example_draws(
    sample: Sample, augment: Augment, number: int, seed: int = 0
) -> list[tuple[Pixels, LabelMap]]:
    """Draw an image several times, to look at: bytes ``(H, W, 3)`` and labels ``(H, W)``.

    Args:
        sample: image and labels.
        augment: of :func:`build_augmentation`.
        number: how many draws.
        seed: of the draws.

    Example:
        >>> from congeal.data import open_dataset
        >>> sample = open_dataset("sticks", "val", count=1)[0]
        >>> [(image, labels)] = example_draws(sample, build_augmentation("kong2018", crop=64), 1)
        >>> image.shape, labels.shape
        ((64, 64, 3), (64, 64))
    """
    image, labels = scale_intensity(sample.image), torch.from_numpy(sample.labels)
    generator = torch.Generator().manual_seed(seed)
    drawn = [augment(image, labels, generator=generator) for _ in range(number)]
    return [
        (seen.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy(), found.numpy())
        for seen, found in drawn
    ]


def _chance(probability: float) -> bool:
    return torch.rand(()).item() < probability
